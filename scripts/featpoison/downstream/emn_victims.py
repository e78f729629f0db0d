"""What the noise of EMN costs: victims of perturbed images, of their 8-bit copies, and of clean images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from featpoison import store
from featpoison.common.pixels import to_8bit, to_pixels
from featpoison.downstream.metrics import psnr
from featpoison.downstream.networks import (
    Classifier,
    NetworkVictims,
    Variant,
    first_rate,
    retrain_networks,
    start_network,
)
from featpoison.downstream.task import Task
from featpoison.downstream.victims import Victims, retrain
from featpoison.encoders.encoder import Encoder
from featpoison.encoders.features import extract
from featpoison.records.checkpoints import Checkpoint
from featpoison.solvers.training_sets import TrainingSets


@dataclass(frozen=True)
class PerturbedSets:
    """The training sets that one variant of EMN perturbed, and the test set.

    There are K of them, one for each poison seed: all have the same n clean images, and each its own noise.
    """

    variant: Variant
    """The variant that the noise was made for."""
    clean: Tensor
    """Clean training images, uint8 (n, 3, h, w)."""
    noise: list[Tensor]
    """The noise of each poison seed, K tensors float32 (n, 3, h, w), in units of the pixel range."""
    labels: Tensor
    """Labels (n,) of the training images, with and without noise."""
    training_error: np.ndarray
    """Share of noisy images that the search's network got wrong at its end, (K,)."""
    by_criterion: list[bool]
    """Whether that error ended each of the K searches; otherwise the number of rounds did."""
    test: Tensor
    """Test images, uint8 (m, 3, h, w)."""
    test_labels: Tensor
    """Labels of the test images (m,)."""
    classes: int
    """Number of classes."""

    @property
    def perturbed(self) -> list[Tensor]:
        """The K sets of perturbed images, float32 (n, 3, h, w) in [0, 1]."""
        return [to_pixels(self.clean) + noise for noise in self.noise]

    @property
    def quantized(self) -> list[Tensor]:
        """Their 8-bit copies, uint8 (n, 3, h, w): what an attacker can store in image files."""
        return [to_8bit(images) for images in self.perturbed]


def read_perturbed_sets(images: Path, noise: list[Path]) -> PerturbedSets:
    """The images of the data set `images`, and the noise in each of the `noise` files, on the CPU.

    There is a file for each poison seed. Raises ValueError naming the noise file whose variant, rows or
    labels are not those of the first one; FileNotFoundError or StoreError naming a file that is missing or
    damaged.
    """
    variant = store.read_attributes(noise[0])["variant"]
    rows = store.read(noise[0], "base")["base"]
    training = store.read(images, "train_images", "train_labels", rows=rows)
    test = store.read(images, "test_images", "test_labels")
    labels = training["train_labels"]
    parts = [store.read(path) for path in noise]
    attributes = [store.read_attributes(path) for path in noise]
    for path, part, found in zip(noise, parts, attributes, strict=True):
        same_rows = np.array_equal(part["base"], rows) and np.array_equal(part["labels"], labels)
        if found["variant"] != variant or not same_rows:
            expected = f"{variant!r} on the {len(rows)} rows of {noise[0]} and their labels in {images}"
            raise ValueError(
                f"{path}: variant {found['variant']!r} on {len(part['base'])} rows, expected {expected}"
            )
    return PerturbedSets(
        variant=variant,
        clean=torch.from_numpy(training["train_images"]),
        noise=[torch.from_numpy(part["noise"]) for part in parts],
        labels=torch.from_numpy(labels),
        training_error=np.array([part["error"][-1].item() for part in parts]),
        by_criterion=[found["by_criterion"] for found in attributes],
        test=torch.from_numpy(test["test_images"]),
        test_labels=torch.from_numpy(test["test_labels"]),
        classes=len(store.read_attributes(images)["classes"]),
    )


def noise_measures(sets: PerturbedSets) -> dict[str, np.ndarray]:
    """Measures of each of the K noises, by name, (K,) each.

    psnr: mean peak signal-to-noise ratio of the perturbed images to the clean ones, in decibels.
    noise_magnitude: the largest change of a pixel, in units of the pixel range.
    training_error: as in `PerturbedSets`.
    """
    pixels = to_pixels(sets.clean)
    return {
        "psnr": np.array([psnr(images, pixels) for images in sets.perturbed]),
        "noise_magnitude": np.array([noise.double().abs().max().item() for noise in sets.noise]),
        "training_error": sets.training_error,
    }


def retrain_heads(sets: PerturbedSets, encoder: Encoder, victims: Victims) -> dict[str, np.ndarray]:
    """Linear heads retrained on the features that the frozen `encoder` gives, on its device.

    The arrays of `victims.retrain`, under their own names for the K perturbed sets, as `quantized_...` for
    their K 8-bit copies, and as `clean_...` for the one clean set. Raises RuntimeError where a converged
    victim does not converge.
    """
    test = extract(sets.test, encoder)

    def retrained(image_sets: list[Tensor]) -> dict[str, np.ndarray]:
        results = []
        for images in image_sets:
            task = Task(extract(images, encoder), sets.labels, test, sets.test_labels, sets.classes)
            alone = TrainingSets.of_clean(task.train, task.train_labels)
            results.append(retrain(task, alone, victims, encoder.mean.device))
        return {name: np.concatenate([result[name] for result in results]) for name in results[0]}

    arrays = retrained(sets.perturbed)
    arrays |= {f"quantized_{name}": array for name, array in retrained(sets.quantized).items()}
    return arrays | {f"clean_{name}": array for name, array in retrained([sets.clean]).items()}


def retrain_whole(
    sets: PerturbedSets, encoder: Encoder, victims: NetworkVictims, checkpoint: Checkpoint
) -> dict[str, np.ndarray]:
    """Whole networks retrained on perturbed sets, on their 8-bit copies, and on the clean set.

    Returns network_accuracy (K, V), quantized_network_accuracy (K, V) and clean_network_accuracy (1, V),
    shares of the test images in [0, 1], for K poison seeds and V victim seeds. Networks start as the variant
    says, on the device of `encoder`. A run that was cut off goes on after the last network that was finished.
    Raises FloatingPointError, naming seed and step, at a loss that is not finite.
    """

    def build(seed: int) -> Classifier:
        return start_network(encoder, sets.variant, classes=sets.classes, seed=seed)

    accuracy = retrain_networks(
        [*sets.perturbed, *sets.quantized, sets.clean],
        sets.labels,
        (sets.test, sets.test_labels),
        build,
        victims,
        rate=first_rate(victims, sets.variant),
        checkpoint=checkpoint,
    )
    K = len(sets.noise)
    return {
        "network_accuracy": accuracy[:K],
        "quantized_network_accuracy": accuracy[K:-1],
        "clean_network_accuracy": accuracy[-1:],
    }
