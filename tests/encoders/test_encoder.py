"""Encoders, frozen, saved and read again."""

import copy
import json

import pytest
import torch
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.encoder import Encoder, EncoderError, load_encoder, save_encoder
from featpoison.records.seal import read_metadata, verify
from helpers import RECORD
from safetensors.torch import load_file, save_file


def test_normalisation_belongs_to_the_encoder(encoder):
    x = torch.rand(2, 3, 32, 32)
    mean, std = (
        torch.tensor(value).view(3, 1, 1) for value in (encoder.architecture.mean, encoder.architecture.std)
    )
    torch.testing.assert_close(encoder(x), encoder.trunk((x - mean) / std))


def test_frozen_means_no_gradient_and_no_statistics(encoder):
    before = copy.deepcopy(encoder.state_dict())
    x = torch.rand(4, 3, 32, 32, requires_grad=True)
    encoder(x).sum().backward()
    assert x.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not any(module.training for module in encoder.modules())
    assert all(torch.equal(before[key], value) for key, value in encoder.state_dict().items())


def test_saved_encoder_comes_back(encoder, tmp_path):
    path = tmp_path / "e.safetensors"
    save_encoder(path, encoder, RECORD, losses=[1.0])
    x = torch.rand(4, 3, 32, 32)
    assert torch.equal(load_encoder(path)(x), encoder(x))
    assert read_metadata(path)["provenance"] == RECORD
    assert read_metadata(path)["losses"] == [1.0]
    verify(path)
    save_encoder(tmp_path / "half.safetensors", encoder, RECORD, dtype=torch.bfloat16)
    torch.testing.assert_close(
        load_encoder(tmp_path / "half.safetensors")(x), encoder(x), rtol=0.05, atol=0.05
    )


def test_a_file_that_names_no_interpolation_resizes_bilinearly(tmp_path):
    """As all did when such files were written, whatever their architecture's usual one is now."""
    encoder = Encoder(Architecture(name="clip-resnet50", side=64)).freeze()
    path = tmp_path / "e.safetensors"
    save_encoder(path, encoder, RECORD)
    assert load_encoder(path).architecture.interpolation == "bicubic"
    old = {key: value for key, value in encoder.architecture.model_dump().items() if key != "interpolation"}
    save_file(load_file(path), path, {"architecture": json.dumps(old)})
    assert load_encoder(path).architecture.interpolation == "bilinear"
    x = torch.rand(2, 3, 32, 32)
    bilinear = Encoder(Architecture(name="clip-resnet50", side=64, interpolation="bilinear"))
    bilinear.load_state_dict(encoder.state_dict())
    assert torch.equal(load_encoder(path)(x), bilinear.freeze()(x))


def test_keys_that_do_not_fit_are_listed(encoder, tmp_path):
    path = tmp_path / "e.safetensors"
    save_encoder(path, encoder, RECORD)
    weights, metadata = load_file(path), {"architecture": encoder.architecture.model_dump_json()}
    weights["fc.weight"] = torch.zeros(2)
    weights["conv1.weight"] = torch.zeros(1)
    del weights["bn1.bias"]
    save_file(weights, path, metadata)
    with pytest.raises(
        EncoderError,
        match=r"missing keys \['bn1.bias'\], left over \['fc.weight'\], of another shape \['conv1.weight'\]",
    ):
        load_encoder(path)
    save_file(weights, path)
    with pytest.raises(EncoderError, match="no 'architecture'"):
        load_encoder(path)
