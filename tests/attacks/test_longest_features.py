"""The longest features of real images: quantiles, the ascent against a plain loop, and the program."""

import copy
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.attacks import longest_features
from featpoison.attacks.longest_features import (
    SHARES,
    LongestFeatures,
    NegativeNorm,
    chosen_rows,
    lengthen,
    norm_quantiles,
)
from featpoison.common.pixels import rounded_to_8bit, to_pixels
from featpoison.encoders.features import extract
from helpers import RECORD, ROOT, Forgetful, Fragile, Killed

QUICK = LongestFeatures(images=7, steps=6, step_size=0.05, batch_size=3, precision="float32")


def found_from(pixels, encoder, settings=QUICK, checkpoint=None):
    return lengthen(pixels, encoder, settings, checkpoint=checkpoint or Forgetful())


def test_quantiles_are_those_of_numpy():
    features = torch.randn(101, 5, generator=torch.Generator().manual_seed(0))
    norms = np.sqrt((features.double().numpy() ** 2).sum(1))
    np.testing.assert_allclose(norm_quantiles(features), np.quantile(norms, SHARES), rtol=1e-12)
    assert norm_quantiles(features)[0] == norms.min()
    assert norm_quantiles(features)[-1] == norms.max()


def test_the_objective_is_the_negative_sum_of_norms_with_its_gradient():
    Z = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    Z[2] = 0  # has no derivative; the ascent leaves such a row where it is
    objective = NegativeNorm(5, torch.device("cpu"))
    gradient = torch.cat([objective.gradient(block, Z[block]) for block in (slice(0, 3), slice(3, 5))])
    leaf = Z.clone().requires_grad_(True)
    value = -leaf[[0, 1, 3, 4]].square().sum(1).sqrt().sum()
    (expected,) = torch.autograd.grad(value, leaf)
    torch.testing.assert_close(gradient, expected)
    assert objective.value() == pytest.approx(value.item(), rel=1e-12)


def test_every_image_is_valid_and_none_is_shorter_than_its_start(encoder, images):
    pixels = to_pixels(images[:7])
    weights = {key: value.clone() for key, value in encoder.state_dict().items()}
    found = found_from(pixels, encoder)
    levels = 255 * found.images.double()
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    assert (found.norms >= found.first_norms).all()
    assert found.norms.mean() > 1.3 * found.first_norms.mean()
    for norms, own in ((found.norms, found.images), (found.first_norms, pixels)):
        torch.testing.assert_close(norms, extract(own, encoder).double().norm(dim=1), rtol=1e-5, atol=0)
    assert encoder.state_dict().keys() == weights.keys()  # no BatchNorm was folded into it
    assert all(torch.equal(value, weights[key]) for key, value in encoder.state_dict().items())


def test_the_same_start_gives_the_same_images_whatever_the_rows_beside_it(encoder, images):
    pixels = to_pixels(images[:6])
    first, again = found_from(pixels, encoder), found_from(pixels, encoder)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.norms, again.norms)
    alone = found_from(pixels[:3], encoder)  # a batch of its own before, too
    torch.testing.assert_close(alone.norms, first.norms[:3], rtol=1e-3, atol=0)


def test_an_image_that_rounding_spoils_stays_the_clean_one(encoder, images, monkeypatch):
    """Here rounding turns the second image into the shortest of all images."""
    pixels = to_pixels(images[:3])
    norms = extract(to_pixels(images), encoder).norm(dim=1)
    shortest = to_pixels(images[norms.argmin()])
    assert norms[1] > norms.min()

    def spoiled(moved):
        rounded = rounded_to_8bit(moved)
        rounded[1] = shortest
        return rounded

    monkeypatch.setattr(longest_features, "rounded_to_8bit", spoiled)
    found = found_from(pixels, encoder)
    assert torch.equal(found.images[1], pixels[1])
    assert found.norms[1] == found.first_norms[1]
    assert (found.norms[[0, 2]] > found.first_norms[[0, 2]]).all()


def by_a_plain_loop(pixels, encoder, settings):
    """Adam with a cosine on the sum of norms, float64, by autograd; the pass with the largest sum."""
    nu = pixels.clone().requires_grad_(True)
    rule = torch.optim.Adam([nu], lr=settings.step_size)
    best, largest = pixels, -np.inf
    for step in range(settings.steps + 1):
        value = encoder(nu).square().sum(1).sqrt().sum()
        if value.item() > largest:
            best, largest = nu.detach().clone(), value.item()
        if step == settings.steps:
            break
        rule.param_groups[0]["lr"] = settings.step_size * 0.5 * (1 + np.cos(np.pi * step / settings.steps))
        rule.zero_grad()
        (-value).backward()
        rule.step()
        nu.data.clamp_(0, 1)
    return (best * 255).round() / 255


def test_the_ascent_is_that_of_a_plain_loop(encoder, images):
    own = copy.deepcopy(encoder).double()
    pixels = to_pixels(images[:4]).double()
    found = found_from(pixels, own)
    oracle = by_a_plain_loop(pixels, own, QUICK)
    assert (oracle - pixels).abs().max() > 0.1
    apart = (found.images - oracle).abs()
    assert apart.max() < 1.01 / 255  # a pixel halfway between two levels may round either way
    assert (apart > 1e-6).double().mean() < 1e-3
    torch.testing.assert_close(found.norms, own(oracle).norm(dim=1), rtol=1e-4, atol=0)


def test_a_killed_ascent_goes_on_where_it_was(encoder, images, tmp_path):
    settings = QUICK.model_copy(update={"steps": 25})
    pixels = to_pixels(images[:4])
    whole = found_from(pixels, encoder, settings)
    place = tmp_path / "norms.h5"
    with pytest.raises(Killed):
        found_from(pixels, encoder, settings, Fragile(place, RECORD, lambda facts: facts["epoch"] == 20))
    resumed = found_from(pixels, encoder, settings, Fragile(place, RECORD, lambda facts: True))
    assert torch.equal(resumed.images, whole.images)  # it would have died again at an earlier pass


def test_the_start_is_a_seeded_choice_without_repeats():
    rows = chosen_rows(40, QUICK)
    assert len(set(rows.tolist())) == 7
    assert rows.max() < 40
    assert torch.equal(rows, chosen_rows(40, QUICK))
    assert not torch.equal(rows, chosen_rows(40, QUICK.model_copy(update={"seed": 1})))
    assert sorted(chosen_rows(5, QUICK).tolist()) == list(range(5))


def test_the_program_measures_in_units_of_the_mean_clean_norm(files, encoder, tmp_path, monkeypatch):
    output = tmp_path / "norms.h5"
    named = [f"--{need}={files[need]}" for need in ("images", "encoder", "features")]
    settings = QUICK.model_dump_json()
    monkeypatch.setattr(
        sys, "argv", ["scripts/measure_norms.py", "--device=cpu", *named, "--settings", settings, str(output)]
    )
    monkeypatch.chdir(ROOT)
    runpy.run_path("scripts/measure_norms.py", run_name="__main__")
    found, features = store.read(output), store.read(files["features"], "train")["train"]
    norms = np.linalg.norm(features.astype(np.float64), axis=1)
    assert store.read_attributes(output)["mean_norm"] == pytest.approx(norms.mean(), rel=1e-6)
    np.testing.assert_array_equal(found["shares"], SHARES)
    np.testing.assert_allclose(found["clean_norms"], np.quantile(norms, SHARES) / norms.mean(), rtol=1e-6)
    base = found["base"]
    assert len(base) == 7
    np.testing.assert_allclose(found["first_norms"], norms[base] / norms.mean(), rtol=1e-4)
    assert (found["norms"] >= found["first_norms"]).all()
    assert found["norms"].max() > 1.1 * found["first_norms"].max()
    assert found["images"].dtype == np.uint8
    own = extract(found["images"], encoder).double().norm(dim=1).numpy()
    np.testing.assert_allclose(found["norms"], own / norms.mean(), rtol=1e-4)
    record = store.read_provenance(output)
    assert {Path(path) for path in record["inputs"]} == {
        files[need] for need in ("images", "encoder", "features")
    }
    assert record["settings"] == json.loads(settings)
    assert not list(tmp_path.glob(".*"))
