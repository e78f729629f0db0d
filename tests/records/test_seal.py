"""Seals of safetensors files."""

import pytest
from featpoison.encoders.encoder import save_encoder
from featpoison.records.seal import WeightsError, verify
from helpers import RECORD


def test_a_flipped_weight_is_found(encoder, tmp_path):
    path = tmp_path / "e.safetensors"
    save_encoder(path, encoder, RECORD)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(WeightsError, match=r"e\.safetensors: weights have sha256"):
        verify(path)
    path.write_bytes(b"short")
    with pytest.raises(WeightsError, match="damaged"):
        verify(path)


def test_saved_bytes_repeat(encoder, tmp_path):
    contents = set()
    for index in range(8):
        save_encoder(tmp_path / f"{index}.safetensors", encoder, RECORD, losses=[1.0], a=1, b=2, c=3)
        contents.add((tmp_path / f"{index}.safetensors").read_bytes())
    assert len(contents) == 1
