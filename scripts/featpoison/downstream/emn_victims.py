"""What unlearnable examples cost: victims trained on perturbed sets, on their 8-bit copies and on the clean set."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from featpoison import store
from featpoison.attacks.emn import Variant, first_rate, start_network
from featpoison.downstream.metrics import psnr
from featpoison.downstream.networks import Classifier, NetworkVictims, retrain_networks
from featpoison.downstream.victims import Downstream, Victims, retrain
from featpoison.encoders.encoder import Encoder
from featpoison.encoders.features import extract, to_pixels
from featpoison.heads import Mixture
from featpoison.records.checkpoints import Checkpoint


@dataclass(frozen=True)
class Unlearnable:
    """The sets of one EMN variant and K poison seeds: clean images uint8 (n, 3, h, w), noise of each seed, labels (n,) of all; the test set.

    `training_error` (K,), of the search's network at its end; `by_criterion` says whether that ended the search.
    """

    variant: Variant
    clean: Tensor
    noise: list[Tensor]
    labels: Tensor
    training_error: np.ndarray
    by_criterion: list[bool]
    test: Tensor
    test_labels: Tensor
    classes: int

    @property
    def perturbed(self) -> list[Tensor]:
        """The K sets of images, float32 in [0, 1]."""
        return [to_pixels(self.clean) + noise for noise in self.noise]

    @property
    def quantized(self) -> list[Tensor]:
        """Their 8-bit copies, uint8: what can be uploaded."""
        return [(255 * images).round().to(torch.uint8) for images in self.perturbed]


def read_unlearnable(images: Path, noise: list[Path]) -> Unlearnable:
    """The images that noise files perturb; ValueError naming the file whose variant, rows or labels are not those of the first."""
    variant = store.read_attributes(noise[0])["variant"]
    rows = store.read(noise[0], "base")["base"]
    arrays = store.read(images, "test_images", "test_labels") | store.read(images, "train_images", "train_labels", rows=rows)
    stored, base = {name: torch.from_numpy(array) for name, array in arrays.items()}, torch.from_numpy(rows)
    labels = stored["train_labels"]
    parts = [{name: torch.from_numpy(array) for name, array in store.read(path).items()} for path in noise]
    facts = [store.read_attributes(path) for path in noise]
    for path, part, fact in zip(noise, parts, facts, strict=True):
        if fact["variant"] != variant or not torch.equal(part["base"], base) or not torch.equal(part["labels"], labels):
            expected = f"{variant!r} on the {len(base)} rows of {noise[0]} and their labels in {images}"
            raise ValueError(f"{path}: variant {fact['variant']!r} on {len(part['base'])} rows, expected {expected}")
    return Unlearnable(
        variant=variant,
        clean=stored["train_images"],
        noise=[part["noise"] for part in parts],
        labels=labels,
        training_error=np.array([part["error"][-1].item() for part in parts]),
        by_criterion=[fact["by_criterion"] for fact in facts],
        test=stored["test_images"],
        test_labels=stored["test_labels"],
        classes=len(store.read_attributes(images)["classes"]),
    )


def noise_facts(data: Unlearnable) -> dict[str, np.ndarray]:
    """Of each of the K noises, (K,) each: PSNR to the clean set in decibels, largest change of a pixel (range 1), training error."""
    pixels = to_pixels(data.clean)
    return {
        "psnr": np.array([psnr(images, pixels) for images in data.perturbed]),
        "noise_magnitude": np.array([noise.double().abs().max().item() for noise in data.noise]),
        "training_error": data.training_error,
    }


def retrain_heads(data: Unlearnable, encoder: Encoder, victims: Victims) -> dict[str, np.ndarray]:
    """The arrays of `retrain` for the K perturbed sets; `quantized_...` for their 8-bit copies; `clean_...` for the clean set."""
    test = extract(data.test, encoder)

    def retrained(sets: list[Tensor]) -> dict[str, np.ndarray]:
        results = []
        for images in sets:
            task = Downstream(extract(images, encoder), data.labels, test, data.test_labels, data.classes)
            results.append(retrain(task, Mixture.of_clean(task.train, task.train_labels), victims, encoder.mean.device))
        return {name: np.concatenate([result[name] for result in results]) for name in results[0]}

    arrays = retrained(data.perturbed)
    arrays |= {f"quantized_{name}": array for name, array in retrained(data.quantized).items()}
    return arrays | {f"clean_{name}": array for name, array in retrained([data.clean]).items()}


def retrain_whole(data: Unlearnable, encoder: Encoder, victims: NetworkVictims, checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """network_accuracy (K, V), quantized_network_accuracy (K, V), clean_network_accuracy (1, V): shares of the test set. Resumes by network."""

    def build(seed: int) -> Classifier:
        return start_network(encoder, data.variant, classes=data.classes, seed=seed)

    accuracy = retrain_networks(
        [*data.perturbed, *data.quantized, data.clean],
        data.labels,
        (data.test, data.test_labels),
        build,
        victims,
        rate=first_rate(victims, data.variant),
        checkpoint=checkpoint,
    )
    K = len(data.noise)
    return {"network_accuracy": accuracy[:K], "quantized_network_accuracy": accuracy[K:-1], "clean_network_accuracy": accuracy[-1:]}
