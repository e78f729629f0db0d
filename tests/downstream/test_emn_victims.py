"""From noise files to victims."""

import math

import numpy as np
import pytest
import torch
from featpoison.downstream.accuracy import accuracy
from featpoison.downstream.emn_victims import (
    noise_measures,
    read_perturbed_sets,
    retrain_heads,
    retrain_whole,
)
from featpoison.downstream.networks import NetworkVictims, Training
from featpoison.downstream.victims import Victims
from featpoison.encoders.features import extract
from featpoison.heads import SGD100, train
from featpoison.records.checkpoints import Checkpoint
from noise_files import BASE

HEADS = Victims(sgd100=SGD100(epochs=12, batch_size=16), seeds=(0, 1))


WHOLE = NetworkVictims(epochs=2, training=Training(batch_size=16), precision="float32", seeds=(0, 1, 2))


def test_what_is_read(files, images):
    path, noise = files
    data = read_perturbed_sets(path, [noise("a.h5", "input", 0), noise("b.h5", "input", 1)])
    assert np.array_equal(data.clean, images[BASE])
    assert torch.equal(data.labels, torch.from_numpy(BASE % 3))
    assert (data.training_error.tolist(), data.by_criterion) == ([0.0, 0.25], [True, False])
    for perturbed, quantized in zip(data.perturbed, data.quantized, strict=True):
        assert quantized.dtype == torch.uint8
        assert (quantized.int() - data.clean.int()).abs().max() <= 8
        assert (quantized.float() / 255 - perturbed).abs().max() <= 0.5 / 255 + 1e-6
    measures = noise_measures(data)
    assert measures["noise_magnitude"] == pytest.approx([8 / 255] * 2, rel=1e-2)
    # Uniform noise, a bit less where it is clipped.
    assert measures["psnr"] == pytest.approx([-10 * math.log10((8 / 255) ** 2 / 3)] * 2, abs=0.3)


@pytest.mark.parametrize("changes", [{"variant": "original"}, {"base": BASE[:-1]}, {"base": BASE - 1}])
def test_files_that_do_not_belong_together_are_named(changes, files):
    path, noise = files
    with pytest.raises(ValueError, match=r"b\.h5: variant '.*expected 'input' on the 20 rows"):
        read_perturbed_sets(
            path, [noise("a.h5", "input", 0), noise("b.h5", **{"variant": "input", "seed": 1} | changes)]
        )


def test_heads_are_retrained_on_perturbed_quantized_and_clean_features(files, encoder):
    path, noise = files
    data = read_perturbed_sets(path, [noise("a.h5", "input", 0), noise("b.h5", "input", 1)])
    arrays = retrain_heads(data, encoder, HEADS)
    assert arrays["sgd100_accuracy"].shape == arrays["quantized_sgd100_accuracy"].shape == (2, 2, 10)
    assert arrays["clean_converged_accuracy"].shape == (1,)
    test = extract(data.test, encoder)
    for name, index, images in (
        ("", 1, data.perturbed[1]),
        ("quantized_", 0, data.quantized[0]),
        ("clean_", 0, data.clean),
    ):
        head = train(extract(images, encoder), data.labels, HEADS.sgd100, classes=3, seed=1)
        np.testing.assert_allclose(arrays[f"{name}sgd100_omega"][index, 1], head.omega, rtol=1e-4, atol=1e-5)
        assert (
            arrays[f"{name}sgd100_accuracy"][index, 1, -1]
            == accuracy(test, data.test_labels, head.omega).item()
        )


def test_whole_networks_are_retrained_on_all_three(files, encoder, tmp_path):
    path, noise = files
    data = read_perturbed_sets(path, [noise("a.h5", "end-to-end", 0), noise("b.h5", "end-to-end", 1)])
    arrays = retrain_whole(data, encoder, WHOLE, Checkpoint(tmp_path / "out", {}))
    assert {name: array.shape for name, array in arrays.items()} == {
        "network_accuracy": (2, 3),
        "quantized_network_accuracy": (2, 3),
        "clean_network_accuracy": (1, 3),
    }
    swapped = read_perturbed_sets(path, [tmp_path / "b.h5", tmp_path / "a.h5"])
    again = retrain_whole(swapped, encoder, WHOLE, Checkpoint(tmp_path / "other", {}))
    np.testing.assert_array_equal(again["network_accuracy"], arrays["network_accuracy"][::-1])
    np.testing.assert_array_equal(again["clean_network_accuracy"], arrays["clean_network_accuracy"])


def test_the_rate_of_pretrained_networks_is_their_own(files, encoder, tmp_path, monkeypatch):
    path, noise = files
    rates = {}

    def seen(*args, rate, **named):
        rates[args[0][0].shape, variant] = rate
        return np.zeros((3, 1))

    monkeypatch.setattr("featpoison.downstream.emn_victims.retrain_networks", seen)
    victims = WHOLE.model_copy(update={"pretrained_learning_rate": 0.002})
    for variant in ("original", "end-to-end"):
        data = read_perturbed_sets(path, [noise(f"{variant}.h5", variant, 0)])
        retrain_whole(data, encoder, victims, Checkpoint(tmp_path / "out", {}))
    assert list(rates.values()) == [0.1, 0.002]
