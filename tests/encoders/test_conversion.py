"""Published checkpoints: files of their layout, with random weights, against other implementations."""

import logging
import pickle
import re
import sys
import zipfile

import convert_checkpoint
import import_encoder
import pytest
import timm
import torch
from featpoison.encoders import families
from featpoison.encoders.architecture import CLIP, IMAGENET, Architecture
from featpoison.encoders.conversion import Conversion, convert, read_tensors
from featpoison.encoders.encoder import Encoder, load_encoder
from featpoison.encoders.timm_models import timm_model
from featpoison.encoders.trunk import EncoderError
from featpoison.pretraining import simclr
from featpoison.pretraining.simclr import SimCLR
from featpoison.records.checkpoints import Checkpoint
from featpoison.records.provenance import ROOT, canonical_json, sha256_file
from featpoison.records.seal import read_metadata, verify
from foreign import assert_equal_features, coarse, conversion, lively, normalised
from safetensors.torch import save_file
from torch import nn
from torchvision.models import VisionTransformer


@pytest.fixture(scope="module")
def resnet50():
    """timm's implementation, whose tensors are named as torchvision's."""
    torch.manual_seed(0)
    return lively(timm.create_model("resnet50", num_classes=0))


@pytest.fixture
def pixels():
    return coarse(64)


def moco_state(weights, head):
    """As MoCo v3's training saves it: base and momentum encoder with projection heads, a predictor."""
    own = {f"module.base_encoder.{key}": value for key, value in weights.items()}
    heads = {
        f"module.base_encoder.{head}.0.weight": torch.zeros(8, 4),
        f"module.base_encoder.{head}.1.running_mean": torch.zeros(8),
        f"module.momentum_encoder.{head}.0.weight": torch.zeros(8, 4),
        "module.momentum_encoder.conv1.weight": torch.zeros(2),
        "module.predictor.0.weight": torch.zeros(4, 4),
        "module.predictor.1.num_batches_tracked": torch.tensor(3),
    }
    return own | heads


def save_moco(path, weights, head):
    state = {
        "epoch": 300,
        "arch": "vit_base",
        "state_dict": moco_state(weights, head),
        "optimizer": {"state": {}},
        "scaler": {"scale": 1.0},
    }
    torch.save(state, path)
    return path


def test_moco_resnet50(resnet50, pixels, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = save_moco(tmp_path / "r-50-1000ep.pth.tar", resnet50.state_dict(), "fc")
    encoder = convert(path, conversion("moco-v3", "resnet50"))
    with torch.no_grad():
        assert_equal_features(encoder(pixels), resnet50(normalised(pixels, IMAGENET)))
    assert encoder.dimension == 2048
    assert not any(module.training for module in encoder.modules())
    for line in (
        "'state_dict' is taken, dropped ['arch', 'epoch', 'optimizer', 'scaler']",
        "dropped module.base_encoder.fc (2 tensors)",
        "dropped module.momentum_encoder (2 tensors)",
        "dropped module.predictor (2 tensors)",
    ):
        assert line in caplog.text


@pytest.mark.parametrize(("d", "heads"), [(192, 3), pytest.param(768, 12, marks=pytest.mark.slow)])
def test_moco_vit(d, heads, tmp_path, monkeypatch):
    """Also with a thinner ViT in its place, which takes a fifth of the time."""
    if d < 768:
        monkeypatch.setitem(
            families.FAMILIES, "vit-base-16", lambda architecture: timm_model("vit_tiny_patch16_224")
        )
    torch.manual_seed(0)
    oracle = VisionTransformer(224, 16, 12, heads, d, 4 * d).eval()
    oracle.heads = nn.Identity()
    nn.init.normal_(oracle.encoder.pos_embedding, std=0.5)
    nn.init.normal_(oracle.class_token, std=0.5)
    path = save_moco(tmp_path / "vit-b-300ep.pth.tar", from_torchvision_vit(oracle.state_dict()), "head")
    encoder = convert(path, conversion("moco-v3", "vit-base-16", side=224))
    pixels = coarse(32)
    with torch.no_grad():
        enlarged = torch.nn.functional.interpolate(pixels, (224, 224), mode="bilinear")
        assert_equal_features(encoder(pixels), oracle(normalised(enlarged, IMAGENET)))
    assert encoder.dimension == d
    with pytest.raises(EncoderError, match="vit-base-16 has no maps of stages"):
        encoder.maps(pixels)


def from_torchvision_vit(state):
    """timm's names, which are MoCo v3's, for torchvision's tensors."""
    names = [
        ("encoder.layers.encoder_layer_", "blocks."),
        ("self_attention.in_proj_", "attn.qkv."),
        ("self_attention.out_proj.", "attn.proj."),
        ("ln_1", "norm1"),
        ("ln_2", "norm2"),
        ("mlp.0", "mlp.fc1"),
        ("mlp.3", "mlp.fc2"),
        ("encoder.ln", "norm"),
        ("class_token", "cls_token"),
        ("encoder.pos_embedding", "pos_embed"),
        ("conv_proj", "patch_embed.proj"),
    ]

    def renamed(key):
        for before, after in names:
            key = key.replace(before, after)
        return key

    return {renamed(key): value for key, value in state.items()}


def test_clip_resnet50(clip, caplog):
    caplog.set_level(logging.INFO)
    path, oracle, _ = clip
    encoder = convert(path, conversion("clip", "clip-resnet50"))
    pixels = coarse(224)
    with torch.no_grad():
        maps = encoder.maps(pixels)
        features = encoder.pool(maps[-1])
        assert_equal_features(features, oracle(normalised(pixels, CLIP)))
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(encoder.pool(maps[-1]), features)  # mixed precision stops at the last map
    assert [map_.shape[1:3] for map_ in maps] == [(64, 56), (256, 56), (512, 28), (1024, 14), (2048, 7)]
    assert encoder.dimension == 1024
    for name in (
        "transformer (2 tensors)",
        "token_embedding",
        "ln_final",
        "logit_scale",
        "vocab_size",
        "positional_embedding (1 tensors)",
    ):
        assert f"RN50.pt: dropped {name}" in caplog.text
    assert encoder.trunk.head.pos_embed.abs().sum() > 0


class Harmful:
    def __reduce__(self):
        return print, ("executed",)


def test_nothing_of_a_file_is_executed(tmp_path, capsys):
    torch.save({"state_dict": {"conv1.weight": Harmful()}}, tmp_path / "a.pth")
    with pytest.raises(EncoderError, match=r"a\.pth: no checkpoint that can be read safely"):
        convert(tmp_path / "a.pth", conversion("torchvision", "resnet50"))
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        archive.writestr("b/constants.pkl", b"")
        archive.writestr("b/data.pkl", pickle.dumps(Harmful()))
    with pytest.raises(
        EncoderError, match=r"names builtins\.print, expected tensors and plain containers only"
    ):
        convert(tmp_path / "b.pt", conversion("clip", "clip-resnet50"))
    assert "executed" not in capsys.readouterr().out


def test_damaged_files_are_named(clip, tmp_path):
    whole = clip[0].read_bytes()
    with zipfile.ZipFile(clip[0]) as archive, zipfile.ZipFile(tmp_path / "without.pt", "w") as copy:
        for name in archive.namelist():
            if not name.endswith("/data/3"):
                copy.writestr(name, archive.read(name))
    contents = {
        "page.pth": b"<html>",
        "cut.pt": whole[: len(whole) // 2],
        "empty.pth": b"",
        "cut.safetensors": b"\x10" + bytes(7) + b'{"a": 1',
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in (*contents, "without.pt"):
        with pytest.raises(EncoderError, match=f"{name}: no checkpoint that can be read safely"):
            read_tensors(tmp_path / name)


@pytest.mark.parametrize("name", ["torchvision:resnet18", pytest.param("resnet50", marks=pytest.mark.slow)])
def test_torchvision_weights_in_both_containers(name, pixels, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    torch.manual_seed(0)
    oracle = lively(timm.create_model(name.removeprefix("torchvision:")))
    state = oracle.state_dict()
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    save_file(state, tmp_path / "new.safetensors")
    oracle.reset_classifier(0)
    with torch.no_grad():
        expected = oracle(normalised(pixels, IMAGENET))
        for file in ("old.pth", "new.safetensors"):
            assert_equal_features(convert(tmp_path / file, conversion("torchvision", name))(pixels), expected)
    assert "old.pth: dropped fc (2 tensors)" in caplog.text
    counters = len(state) - len(old)
    assert f"old.pth: has no counters of BatchNorm updates, set to 0 ({counters} tensors)" in caplog.text
    assert "new.safetensors: has no counters" not in caplog.text


@pytest.mark.parametrize(("form", "name"), [("moco-v3", "resnet50"), ("torchvision", "torchvision:resnet18")])
def test_keys_that_do_not_fit_are_listed(form, name, tmp_path):
    prefix = "module.base_encoder." if form == "moco-v3" else ""
    state = {
        f"{prefix}{key}": value for key, value in Encoder(Architecture(name=name)).trunk.state_dict().items()
    }
    del state[f"{prefix}bn1.bias"]
    state |= {f"{prefix}conv1.weight": torch.zeros(1), f"{prefix}fcx.weight": torch.zeros(1)}
    left_over = "'fcx.weight'"
    if form == "moco-v3":
        state["conv1.weight"] = torch.zeros(64, 3, 7, 7)  # fits, but is not where the encoder's tensors are
        left_over = "'conv1.weight (not below module.base_encoder.)', 'fcx.weight'"
    torch.save(state, tmp_path / "m.pth")
    message = f"m.pth: missing keys ['bn1.bias'], left over [{left_over}], of another shape ['conv1.weight']"
    with pytest.raises(EncoderError, match=re.escape(message)):
        convert(tmp_path / "m.pth", conversion(form, name))


def test_what_is_no_state_dict_is_an_error(tmp_path):
    for content, message in (
        ({"state_dict": {"a": torch.zeros(1), "n": 3}}, r"\['n'\] are no tensors"),
        ([1], "holds a list, expected a dictionary"),
    ):
        torch.save(content, tmp_path / "m.pth")
        with pytest.raises(EncoderError, match=message):
            read_tensors(tmp_path / "m.pth")


def test_state_of_our_own_pretraining(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    architecture = Architecture(width=8, stem_stride=2)
    network = simclr._network(SimCLR(architecture=architecture))
    lively(network)
    state = Checkpoint(tmp_path / "e", {})
    momenta = {
        f"momentum.{index}": torch.zeros_like(value) for index, value in enumerate(network.parameters())
    }
    state.save(
        {f"network.{key}": value for key, value in network.state_dict().items()} | momenta, losses=[1.0]
    )
    encoder = convert(state.path, Conversion(format="simclr", architecture=architecture))
    pixels = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(encoder(pixels), network[0](pixels), rtol=1e-5, atol=1e-5)
    assert "dropped network.1 (2 tensors)" in caplog.text
    assert f"dropped momentum ({len(momenta)} tensors)" in caplog.text


def run(program, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(ROOT / "scripts" / f"{program.__name__}.py"), *map(str, arguments)])
    program.main()


def test_programs_convert_alike(tmp_path, monkeypatch):
    torch.manual_seed(0)
    source = lively(timm.create_model("resnet10t"))
    foreign, made, imported = (
        tmp_path / "model.safetensors",
        tmp_path / "made.safetensors",
        tmp_path / "imported.safetensors",
    )
    save_file(source.state_dict(), foreign)
    architecture = {"name": "timm:resnet10t", "side": 48}
    run(
        convert_checkpoint,
        monkeypatch,
        "--format",
        "timm",
        "--arch",
        canonical_json(architecture),
        foreign,
        made,
    )
    verify(made)
    metadata = read_metadata(made)
    filled_in = {"mean": list(IMAGENET[0]), "std": list(IMAGENET[1]), "interpolation": "bicubic"}
    assert metadata["architecture"] == architecture | filled_in
    assert metadata["provenance"]["settings"] == {
        "format": "timm",
        "architecture": architecture | {"mean": None, "std": None, "interpolation": None},
    }
    settings = canonical_json({"url": f"https://example.org/{foreign.name}", "sha256": sha256_file(foreign)})
    options = ["--conversion", canonical_json({"format": "timm", "architecture": architecture})]
    monkeypatch.setenv("FEATPOISON_MIRROR", str(tmp_path))
    run(import_encoder, monkeypatch, "--settings", settings, *options, imported)
    pixels = torch.rand(2, 3, 32, 32)
    assert torch.equal(load_encoder(imported)(pixels), load_encoder(made)(pixels))
    assert read_metadata(imported)["provenance"]["download"] == {
        "archive": sha256_file(foreign),
        "verified": True,
    }


def test_programs_name_what_is_wrong(tmp_path, monkeypatch):
    save_file({"a": torch.zeros(1)}, tmp_path / "m.safetensors")
    for name, form, message in (
        ("timm:resnet5O", "timm", "timm:resnet5O: timm .* has no such model, closest are .'resnet50'"),
        ("torchvision:resnet5", "torchvision", "torchvision:resnet5: .* closest are .*'resnet50'"),
        ("torchvision:squeezenet1_0", "torchvision", "classifier is no linear layer"),
        ("timm:resnet18.nope", "timm", "timm:resnet18.nope: .*expected a tag of .*'a1_in1k'"),
        ("resnet50", "clip", "'resnet50' does not fit format 'clip', expected one of clip-resnet50"),
        ("resnet5", "timm", "architecture.name"),
    ):
        with pytest.raises(SystemExit, match=f"(?s){message}"):
            run(
                convert_checkpoint,
                monkeypatch,
                "--format",
                form,
                "--arch",
                name,
                tmp_path / "m.safetensors",
                tmp_path / "out.safetensors",
            )
    assert not (tmp_path / "out.safetensors").exists()
