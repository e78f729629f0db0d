"""Safetensors files as bytes: their metadata and their seals, read and written without torch.

A safetensors file (https://github.com/huggingface/safetensors) has eight bytes with the length of its header,
the header, and the bytes of the tensors. The header is JSON: an entry for each tensor, and texts under
`__metadata__`. This project puts two seals among the metadata. `weights` is the SHA-256 of the tensors'
entries and bytes; `content` is that of all other metadata and of `weights`. The header has one possible form,
so that the seals cover every byte of the file.
"""

import json
import struct
from pathlib import Path
from typing import Any

from featpoison.records.provenance import canonical_json, sha256_bytes

SEALS = ("weights", "content")


class WeightsError(ValueError):
    """A weights file is damaged, or its bytes do not fit its seals. The message names the file."""


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata by name, each of them parsed as JSON. Raises FileNotFoundError or WeightsError."""
    return _split(path, path.read_bytes())[0]


def sealed(content: bytes) -> bytes:
    """The bytes of a safetensors file with seals and with a sorted header.

    The safetensors library writes metadata in an order that changes from run to run; here equal contents give
    equal bytes.
    """
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    metadata = {key: value for key, value in header.pop("__metadata__", {}).items() if key not in SEALS}
    metadata["weights"] = canonical_json(_seal(header, data))
    metadata["content"] = canonical_json(sha256_bytes(canonical_json(metadata).encode()))
    text = canonical_json(header | {"__metadata__": metadata}).encode()
    text += b" " * (-len(text) % 8)  # tensors stay aligned
    return struct.pack("<Q", len(text)) + text + data


def verify(path: Path) -> None:
    """Compare all bytes of a file with its seals.

    Raises FileNotFoundError, or WeightsError naming the file; where weights differ, the message has both
    digests.
    """
    content = path.read_bytes()
    metadata, entries, data = _split(path, content)
    if metadata.get("weights") != _seal(entries, data):
        raise WeightsError(
            f"{path}: weights have sha256 {_seal(entries, data)}, recorded is {metadata.get('weights')}"
        )
    if content != sealed(content):
        raise WeightsError(
            f"{path}: metadata or header were changed: their seal {metadata.get('content')} does not fit"
        )


def _split(path: Path, content: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Metadata, tensor entries and tensor bytes of a file's contents. Raises WeightsError naming `path`."""
    try:
        (length,) = struct.unpack("<Q", content[:8])
        entries = json.loads(content[8 : 8 + length])
        metadata = {key: json.loads(value) for key, value in entries.pop("__metadata__", {}).items()}
    except (struct.error, ValueError, AttributeError) as error:
        raise WeightsError(f"{path}: damaged or no safetensors file: {error}") from error
    return metadata, entries, content[8 + length :]


def _seal(entries: dict[str, Any], data: bytes) -> str:
    """The digest of tensor entries and tensor bytes."""
    return sha256_bytes(canonical_json(entries).encode(), data)
