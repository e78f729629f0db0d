"""Safetensors files as bytes: metadata and seal, without torch.

Layout (https://github.com/huggingface/safetensors): eight bytes with the length of a JSON header, the header (tensor entries, and text under
``__metadata__``), the tensors. The seal, ``weights`` in the metadata, is the SHA-256 of the tensor entries and bytes.
"""

import json
import struct
from pathlib import Path
from typing import Any

from featpoison.provenance import canonical_json, sha256_bytes


class WeightsError(ValueError):
    """A weights file is damaged or not what it says; the message names the file."""


def read_metadata(path: Path) -> dict[str, Any]:
    """The JSON values of the metadata. Raises WeightsError."""
    return _split(path, path.read_bytes())[0]


def seal(content: bytes) -> str:
    """The seal of a serialised file."""
    return _seal(*_split(Path("memory"), content)[1:])


def repeatable(content: bytes) -> bytes:
    """The same file with a sorted header: safetensors writes metadata in an order that changes from run to run."""
    (length,) = struct.unpack("<Q", content[:8])
    header = canonical_json(json.loads(content[8 : 8 + length])).encode()
    header += b" " * (-len(header) % 8)  # tensors stay aligned
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def verify(path: Path) -> None:
    """Compare the weights with their seal. Raises WeightsError naming the file and both digests."""
    metadata, entries, data = _split(path, path.read_bytes())
    if metadata.get("weights") != _seal(entries, data):
        raise WeightsError(f"{path}: weights have sha256 {_seal(entries, data)}, recorded is {metadata.get('weights')}")


def _split(path: Path, content: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Metadata, tensor entries, tensor bytes."""
    try:
        (length,) = struct.unpack("<Q", content[:8])
        entries = json.loads(content[8 : 8 + length])
        metadata = {key: json.loads(value) for key, value in entries.pop("__metadata__", {}).items()}
    except (struct.error, ValueError, AttributeError) as error:
        raise WeightsError(f"{path}: damaged or no safetensors file: {error}") from error
    return metadata, entries, content[8 + length :]


def _seal(entries: dict[str, Any], data: bytes) -> str:
    return sha256_bytes(canonical_json(entries).encode(), data)
