"""Decoders of every kind, their training, and the inversion of poisoned features by them."""

import copy
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.attacks import decoder_inversion as di
from featpoison.attacks.decoder_inversion import (
    DecoderInversion,
    invert,
    loss,
    reconstruct,
    reconstruction_errors,
    train_decoder,
)
from featpoison.audit.lineage import read_record
from featpoison.common.pixels import to_pixels
from featpoison.encoders.decoder import build, load_decoder, save_decoder, stages_of
from featpoison.encoders.encoder import Architecture, Encoder, EncoderError, save_encoder
from featpoison.encoders.features import extract
from featpoison.records.checkpoints import Checkpoint
from helpers import RECORD, ROOT, Fragile, Killed

SMALL = DecoderInversion(epochs=2, batch_size=16, channels=(16, 16, 16, 8, 8), precision="float32")
every_kind = pytest.mark.parametrize("kind", ["skip", "plain", "end-to-end"])


def train(images, encoder, kind, folder, *, settings=SMALL, checkpoint=Checkpoint):
    return train_decoder(
        torch.as_tensor(images),
        encoder,
        kind,
        settings,
        checkpoint=checkpoint(folder / "out", {"kind": kind}),
    )


def small_encoder(**architecture) -> Encoder:
    torch.manual_seed(0)
    return Encoder(Architecture(**architecture)).freeze()


# The loss


def test_loss_is_the_weighted_sum(generator):
    first, second = torch.rand(2, 4, 3, 32, 32, generator=generator)
    distance, similarity = reconstruction_errors(first, second, SMALL)
    torch.testing.assert_close(
        distance, torch.stack([(x - y).abs().mean() for x, y in zip(first, second, strict=True)])
    )
    expected = (0.84 * (1 - similarity) + 0.16 * distance).mean()
    torch.testing.assert_close(loss(first, second, SMALL), expected)
    assert loss(first, first, SMALL).item() == pytest.approx(0, abs=1e-6)
    only = SMALL.model_copy(update={"ms_ssim_weight": 0.0})
    torch.testing.assert_close(loss(first, second, only), (first - second).abs().mean())


# The network


class Enlarging(Encoder):
    """An encoder whose resize belongs to it: its maps are larger than the images."""

    def maps(self, pixels):
        return super().maps(torch.nn.functional.interpolate(pixels, scale_factor=3.0))


@every_kind
@pytest.mark.parametrize(
    ("architecture", "size"),
    [({"width": 8}, (32, 32)), ({"width": 4, "stem_stride": 2}, (45, 30)), ({"width": 12}, (17, 40))],
)
def test_fits_any_width_stem_and_size(kind, architecture, size):
    network = build(small_encoder(**architecture), kind, size, SMALL.channels)
    pixels = torch.rand(2, 3, *size)
    out = network(pixels)
    assert (out.shape, out.dtype) == (pixels.shape, torch.float32)
    assert out.min() > 0
    assert out.max() < 1


def test_fits_an_encoder_that_enlarges_its_images():
    torch.manual_seed(0)
    encoder = Enlarging(Architecture(width=4)).freeze()
    assert stages_of(encoder, 20, 20)[0] == (4, 60, 60)
    assert build(encoder, "skip", (20, 20), SMALL.channels)(torch.rand(2, 3, 20, 20)).shape == (2, 3, 20, 20)


def test_only_skip_reads_the_maps_and_never_the_last(encoder):
    for kind in ("skip", "plain"):
        network = build(encoder, kind, (32, 32), SMALL.channels).freeze()
        maps = network.encoder.maps(torch.rand(2, 3, 32, 32))
        zeta = network.encoder.pool(maps[-1])
        whole = network.decoder(zeta, maps)
        for index in range(len(maps)):
            changed = [map_ + 1 if i == index else map_ for i, map_ in enumerate(maps)]
            assert torch.equal(network.decoder(zeta, changed), whole) == (
                kind == "plain" or index == len(maps) - 1
            ), (kind, index)
        assert not torch.equal(network.decoder(zeta + 1, maps), whole)


def test_wrong_number_of_channels_is_an_error(encoder):
    with pytest.raises(ValueError, match=r"channels: \[8, 8\], expected 5 numbers"):
        build(encoder, "skip", (32, 32), (8, 8))


# Training


@every_kind
def test_training_leaves_the_given_encoder_untouched(kind, encoder, images, tmp_path):
    """Weights, BatchNorm statistics, mode, gradients: bit for bit; only end-to-end has an encoder of its own
    that moved."""
    own = copy.deepcopy(encoder)
    before = copy.deepcopy(own.state_dict())
    network, _ = train(images, own, kind, tmp_path)
    assert all(torch.equal(before[key], value) for key, value in own.state_dict().items())
    assert not any(module.training for module in own.modules())
    assert not any(parameter.requires_grad for parameter in own.parameters())
    pixels = to_pixels(images[:4])
    same = torch.allclose(network.encoder(pixels), own(pixels), rtol=1e-4, atol=1e-5)
    assert same == (kind != "end-to-end")
    if kind == "end-to-end":
        after = network.encoder.trunk.state_dict()
        assert not torch.equal(after["bn1.running_mean"], own.trunk.bn1.running_mean)
        assert not torch.equal(after["layer4.1.conv2.weight"], own.trunk.layer4[1].conv2.weight)
        assert {key.split(".")[0] for key in network.learned()} == {"encoder", "decoder"}
    else:
        assert {key.split(".")[0] for key in network.learned()} == {"decoder"}


def test_end_to_end_starts_from_the_pre_trained_encoder(encoder):
    network = build(encoder, "end-to-end", (32, 32), SMALL.channels)
    assert all(
        torch.equal(value, encoder.state_dict()[key]) for key, value in network.encoder.state_dict().items()
    )


@every_kind
def test_same_seed_same_bytes(kind, encoder, images, tmp_path):
    contents = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(contents))  # the global state must not matter
        network, losses = train(
            images, encoder, kind, tmp_path / name, settings=SMALL.model_copy(update={"seed": seed})
        )
        save_decoder(tmp_path / f"{name}.safetensors", network, RECORD, losses=losses)
        contents.append((tmp_path / f"{name}.safetensors").read_bytes())
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


@every_kind
def test_a_killed_training_resumes_bit_for_bit(kind, encoder, images, tmp_path):
    settings = SMALL.model_copy(update={"epochs": 3})
    whole, losses = train(images, encoder, kind, tmp_path / "whole", settings=settings)

    def fragile(path, record):
        return Fragile(path, record, lambda facts: len(facts["losses"]) == 2)

    with pytest.raises(Killed):
        train(images, encoder, kind, tmp_path / "cut", settings=settings, checkpoint=fragile)
    resumed, again = train(images, encoder, kind, tmp_path / "cut", settings=settings)
    assert again == losses
    assert all(torch.equal(value, resumed.state_dict()[key]) for key, value in whole.state_dict().items())


@every_kind
@pytest.mark.parametrize("sizes", [[1], [10, 9], [16, 16], [11, 11, 11]])
def test_every_image_is_seen_once_an_epoch(kind, sizes, encoder, images, tmp_path):
    own, seen = images[: sum(sizes)], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            di, "loss", lambda found, pixels, settings: seen.append(pixels) or loss(found, pixels, settings)
        )
        network, losses = train(own, encoder, kind, tmp_path, settings=SMALL.model_copy(update={"epochs": 1}))
    assert [len(part) for part in seen] == sizes
    assert sorted(torch.cat(seen).flatten(1).tolist()) == sorted(to_pixels(own).flatten(1).tolist())
    assert math.isfinite(losses[0])
    assert reconstruct(torch.from_numpy(own), network).shape == own.shape


def test_not_a_number_stops_with_epoch_and_batch(encoder, images, tmp_path):
    broken = copy.deepcopy(encoder)
    broken.trunk.conv1.weight[0, 0, 0, 0] = math.nan
    with pytest.raises(FloatingPointError, match="decoder skip: epoch 1, batch 1 of 4: the loss is nan"):
        train(images, broken, "skip", tmp_path)
    with pytest.raises(FloatingPointError, match=r"decoder plain: epoch \d, batch \d of 4: the loss is nan"):
        train(images, encoder, "plain", tmp_path, settings=SMALL.model_copy(update={"learning_rate": 1e30}))


@pytest.fixture(scope="module")
def trained(encoder, images, tmp_path_factory):
    """One decoder of each kind, trained until the kinds differ, and their errors on images that training did
    not see."""
    settings = SMALL.model_copy(update={"epochs": 20, "learning_rate": 0.005, "batch_size": 10})
    networks, errors = {}, {}
    for kind in ("skip", "plain", "end-to-end"):
        networks[kind], losses = train(
            images[:40], encoder, kind, tmp_path_factory.mktemp(kind), settings=settings
        )
        assert losses[-1] < 0.9 * losses[0]
        found = reconstruct(torch.from_numpy(images[40:]), networks[kind])
        errors[kind] = tuple(
            error.mean().item() for error in reconstruction_errors(found, to_pixels(images[40:]), settings)
        )
    return networks, errors


def test_skip_connections_reconstruct_better(trained):
    _, errors = trained
    assert errors["skip"][0] < 0.7 * errors["plain"][0]
    assert errors["skip"][1] > errors["plain"][1] + 0.2


def test_features_say_something_to_a_plain_decoder(trained, images):
    """Better on what it was trained on than the mean image: it does invert features."""
    networks, _ = trained
    pixels = to_pixels(images[:40])
    found = reconstruct(torch.from_numpy(images[:40]), networks["plain"])
    mean = pixels.mean(0, keepdim=True).expand_as(pixels)
    assert loss(found, pixels, SMALL) < loss(mean, pixels, SMALL)


# Inversion


def test_inverting_clean_features_is_reconstructing(trained, encoder, images):
    networks, _ = trained
    base = to_pixels(images[:7])
    for kind in ("skip", "plain"):
        inverted = invert(extract(images[:7], encoder), base, networks[kind], batch_size=3)
        torch.testing.assert_close(inverted, reconstruct(base, networks[kind]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["skip", "plain"])
@pytest.mark.parametrize("n", [1, 7])
def test_inversion_gives_images_in_range(kind, n, trained, encoder, images):
    networks, _ = trained
    zeta = 20 * extract(images[n : 2 * n], encoder)
    poisons = invert(zeta, to_pixels(images[:n]), networks[kind])
    assert (poisons.shape, poisons.dtype) == ((n, 3, 32, 32), torch.float32)
    assert poisons.min() >= 0
    assert poisons.max() <= 1
    other = invert(zeta, to_pixels(images[20 : 20 + n]), networks[kind])
    # Without skip connections the base images do not matter.
    assert torch.equal(poisons, other) == (kind == "plain")
    assert not torch.equal(poisons, invert(2 * zeta, to_pixels(images[:n]), networks[kind]))


def test_an_end_to_end_decoder_inverts_other_features(trained, encoder, images):
    with pytest.raises(ValueError, match="expected a decoder on the frozen encoder, skip or plain"):
        invert(extract(images[:2], encoder), to_pixels(images[:2]), trained[0]["end-to-end"])


# Files


@every_kind
def test_saved_decoder_comes_back(kind, trained, encoder, images, tmp_path):
    network = trained[0][kind]
    save_decoder(tmp_path / "d.safetensors", network, RECORD, losses=[1.0])
    again = load_decoder(tmp_path / "d.safetensors", encoder)
    assert torch.equal(
        reconstruct(torch.from_numpy(images), again), reconstruct(torch.from_numpy(images), network)
    )
    assert not any(parameter.requires_grad for parameter in again.parameters())
    assert read_record(tmp_path / "d.safetensors") == RECORD  # sealed: the audit reads it


def test_a_decoder_of_another_encoder_is_refused(trained, encoder, tmp_path):
    save_decoder(tmp_path / "d.safetensors", trained[0]["skip"], RECORD)
    with pytest.raises(EncoderError, match=r"d\.safetensors: belongs to an encoder of 64 features"):
        load_decoder(tmp_path / "d.safetensors", small_encoder(width=4))
    save_encoder(tmp_path / "e.safetensors", encoder, RECORD)
    with pytest.raises(EncoderError, match=r"e\.safetensors: no 'layout'"):
        load_decoder(tmp_path / "e.safetensors", encoder)


# Programs


def run(program, *arguments):
    command = [sys.executable, str(ROOT / "scripts" / program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow  # six programs, each of which imports torch
def test_programs_make_poisons_and_figure_4(encoder, images, tmp_path):
    data, weights, zeta = tmp_path / "images.h5", tmp_path / "e.safetensors", tmp_path / "zeta.h5"
    labels = np.arange(60) % 3
    store.write(
        data,
        {
            "train_images": images,
            "train_labels": labels,
            "test_images": images[:20],
            "test_labels": labels[:20],
        },
        RECORD,
    )
    save_encoder(weights, encoder, RECORD)
    base = np.array([3, 1, 59])
    features = 2 * extract(images[base], encoder)
    store.write(
        zeta, {"features": features.numpy(), "labels": labels[base], "base": base}, RECORD, eps_d=0.05
    )
    settings = SMALL.model_copy(update={"epochs": 1}).model_dump_json()
    common = ["--images", data, "--encoder", weights]
    kinds = ["plain", "end-to-end", "skip"]
    for kind in kinds:
        run(
            "train_decoder.py",
            *common,
            "--kind",
            kind,
            "--settings",
            settings,
            tmp_path / f"{kind}.safetensors",
        )
        assert not list(tmp_path.glob(".*.state"))
    decoders = [tmp_path / f"{kind}.safetensors" for kind in kinds]
    choice = '{"method": "decoder-inversion", "set": "free", "target": "gradpc-feature"}'
    inversion = ["--attack", "decoder-inversion", "--choice", choice, "--budget", 0.05, "--seed", 0]
    run(
        "poison_images.py",
        *inversion,
        *common,
        "--decoder",
        decoders[-1],
        "--poisoned",
        zeta,
        tmp_path / "poisons.h5",
    )
    poisons = store.read(tmp_path / "poisons.h5")
    assert store.read_attributes(tmp_path / "poisons.h5")["eps_d"] == 0.05
    assert np.array_equal(poisons["base"], base)
    assert np.array_equal(poisons["labels"], labels[base])
    found = extract(poisons["images"], encoder)
    np.testing.assert_allclose(poisons["features"], found, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        poisons["distance"], (found.double() - features.double()).square().sum(1), rtol=1e-4
    )
    np.testing.assert_allclose(poisons["first_distance"], (features.double() / 2).square().sum(1), rtol=1e-4)
    run(
        "reconstruct_images.py",
        *common,
        "--count",
        4,
        "--settings",
        settings,
        "--decoders",
        *decoders,
        "--",
        tmp_path / "r.h5",
    )
    shown, errors = store.read(tmp_path / "r.h5"), store.read_attributes(tmp_path / "r.h5")["errors"]
    assert shown.keys() == {"original", *kinds}
    network = load_decoder(decoders[0], encoder)
    distance, similarity = reconstruction_errors(
        reconstruct(torch.from_numpy(images[:20]), network), to_pixels(images[:20]), SMALL
    )
    assert errors["plain"]["l1"] == pytest.approx(distance.mean().item(), rel=1e-4)
    assert errors["plain"]["ms_ssim"] == pytest.approx(similarity.mean().item(), rel=1e-3, abs=1e-5)
    run("plot_reconstructions.py", "--reconstructions", tmp_path / "r.h5", tmp_path / "figure4.png")
    assert json.loads((tmp_path / "figure4.png.provenance.json").read_text())["inputs"]
