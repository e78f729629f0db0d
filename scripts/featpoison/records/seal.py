"""Safetensors files as bytes: metadata and seal, without torch.

Layout (https://github.com/huggingface/safetensors): eight bytes with the length of a JSON header, the header (tensor entries, and text under
``__metadata__``), the tensors. Two seals in the metadata: ``weights`` is the SHA-256 of the tensor entries and bytes, ``content`` that of the rest of
the metadata and of ``weights``; with the header in one form, every byte is covered.
"""

import json
import struct
from pathlib import Path
from typing import Any

from featpoison.records.provenance import canonical_json, sha256_bytes

SEALS = ("weights", "content")


class WeightsError(ValueError):
    """A weights file is damaged or not what it says; the message names the file."""


def read_metadata(path: Path) -> dict[str, Any]:
    """The JSON values of the metadata. Raises WeightsError."""
    return _split(path, path.read_bytes())[0]


def sealed(content: bytes) -> bytes:
    """The serialised file with its seals and a sorted header: safetensors writes metadata in an order that changes from run to run."""
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    metadata = {key: value for key, value in header.pop("__metadata__", {}).items() if key not in SEALS}
    metadata["weights"] = canonical_json(_seal(header, data))
    metadata["content"] = canonical_json(sha256_bytes(canonical_json(metadata).encode()))
    text = canonical_json(header | {"__metadata__": metadata}).encode()
    text += b" " * (-len(text) % 8)  # tensors stay aligned
    return struct.pack("<Q", len(text)) + text + data


def verify(path: Path) -> None:
    """Compare all bytes with their seals. Raises WeightsError naming the file, and both digests of its weights where they differ."""
    content = path.read_bytes()
    metadata, entries, data = _split(path, content)
    if metadata.get("weights") != _seal(entries, data):
        raise WeightsError(f"{path}: weights have sha256 {_seal(entries, data)}, recorded is {metadata.get('weights')}")
    if content != sealed(content):
        raise WeightsError(f"{path}: metadata or header were changed: their seal {metadata.get('content')} does not fit")


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
