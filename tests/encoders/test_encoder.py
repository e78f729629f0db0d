import copy

import pytest
import torch
from featpoison.common.pixels import to_pixels
from featpoison.encoders.encoder import Architecture, Encoder, EncoderError, load_encoder, save_encoder
from featpoison.encoders.features import extract
from featpoison.records.seal import WeightsError, read_metadata, verify
from helpers import RECORD
from safetensors.torch import load_file, save_file


def test_resnet18_is_torchvisions_with_another_stem():
    """Same blocks: with torchvision's weights and a 3 x 3 stem without max-pool, the same features."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    oracle = resnet18()
    oracle.conv1, oracle.maxpool, oracle.fc = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False), torch.nn.Identity(), torch.nn.Identity()
    ours = Encoder(Architecture(mean=(0, 0, 0), std=(1, 1, 1)))
    ours.trunk.load_state_dict(oracle.state_dict())
    x = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), oracle.eval()(x), rtol=1e-5, atol=1e-5)
    assert ours.dimension == 512


def test_folding_batchnorm_changes_nothing(encoder):
    x = torch.rand(8, 3, 32, 32, dtype=torch.float64)
    plain = copy.deepcopy(encoder).double()
    folded = copy.deepcopy(plain).fold_batchnorm()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(x), plain(x), rtol=1e-10, atol=1e-10)


def test_normalisation_belongs_to_the_encoder(encoder):
    x = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (encoder.architecture.mean, encoder.architecture.std))
    torch.testing.assert_close(encoder(x), encoder.trunk((x - mean) / std))


@pytest.mark.parametrize(("width", "stem_stride", "side"), [(8, 1, 32), (4, 2, 30)])
def test_maps_are_the_stages_and_the_features_their_last_ones_mean(width, stem_stride, side):
    torch.manual_seed(0)
    encoder = Encoder(Architecture(width=width, stem_stride=stem_stride)).freeze()
    x = torch.rand(2, 3, side, side)
    seen = {}
    for name in ("layer1", "layer2", "layer3", "layer4"):
        encoder.trunk.get_submodule(name).register_forward_hook(lambda module, inputs, output, name=name: seen.update({name: (inputs[0], output)}))
    maps = encoder.maps(x)
    assert [map_.shape[1] for map_ in maps] == [width, width, 2 * width, 4 * width, 8 * width]
    assert maps[0].shape[2] == -(-side // stem_stride)
    assert torch.equal(maps[0], seen["layer1"][0])
    for map_, name in zip(maps[1:], sorted(seen), strict=True):
        assert torch.equal(map_, seen[name][1])
    assert torch.equal(encoder.pool(maps[-1]), encoder(x))
    torch.testing.assert_close(encoder(x), maps[-1].mean((2, 3)))


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
    torch.testing.assert_close(load_encoder(tmp_path / "half.safetensors")(x), encoder(x), rtol=0.05, atol=0.05)


def test_keys_that_do_not_fit_are_listed(encoder, tmp_path):
    path = tmp_path / "e.safetensors"
    save_encoder(path, encoder, RECORD)
    weights, metadata = load_file(path), {"architecture": encoder.architecture.model_dump_json()}
    weights["fc.weight"] = torch.zeros(2)
    weights["conv1.weight"] = torch.zeros(1)
    del weights["bn1.bias"]
    save_file(weights, path, metadata)
    with pytest.raises(EncoderError, match=r"missing keys \['bn1.bias'\], left over \['fc.weight'\], of another shape \['conv1.weight'\]"):
        load_encoder(path)
    save_file(weights, path)
    with pytest.raises(EncoderError, match="no 'architecture'"):
        load_encoder(path)


def test_features_do_not_depend_on_the_batch(encoder, images):
    whole = extract(images, encoder)
    torch.testing.assert_close(extract(images, encoder, batch_size=7), whole, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(whole, encoder(to_pixels(images)), rtol=1e-5, atol=1e-5)
    assert extract(images[:0], encoder).shape == (0, encoder.dimension)


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
