"""What unlearnable examples cost: victims trained on perturbed sets, on their 8-bit copies and on the clean set."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from featpoison import store
from featpoison.attacks.emn import Variant, start_network
from featpoison.checkpoints import Checkpoint
from featpoison.encoders.encoder import Encoder
from featpoison.encoders.features import extract, to_pixels
from featpoison.evaluation import Downstream, Victims, retrain
from featpoison.heads import Mixture
from featpoison.metrics import psnr
from featpoison.network import Classifier, NetworkVictims, retrain_networks


@dataclass(frozen=True)
class Unlearnable:
    """The sets of one EMN variant and K poison seeds, all with `labels` (n,): images (n, 3, h, w), clean and quantized uint8, perturbed float32.

    `training_error` (K,), of the search's network at its end; `by_criterion` says whether that ended the search.
    """

    variant: Variant
    clean: Tensor
    perturbed: list[Tensor]
    quantized: list[Tensor]
    labels: Tensor
    training_error: np.ndarray
    by_criterion: list[bool]
    test: Tensor
    test_labels: Tensor
    classes: int


def read_unlearnable(images: Path, noise: list[Path]) -> Unlearnable:
    """The images that noise files perturb; ValueError naming the file whose variant, rows or labels are not those of the first."""
    stored = {name: torch.from_numpy(array) for name, array in store.read(images).items()}
    variant = store.read_attributes(noise[0])["variant"]
    base = torch.from_numpy(store.read(noise[0], "base")["base"])
    clean, labels = stored["train_images"][base], stored["train_labels"][base]
    perturbed, errors, by_criterion = [], [], []
    for path in noise:
        part = {name: torch.from_numpy(array) for name, array in store.read(path).items()}
        facts = store.read_attributes(path)
        found = facts["variant"]
        if found != variant or not torch.equal(part["base"], base) or not torch.equal(part["labels"], labels):
            expected = f"{variant!r} on the {len(base)} rows of {noise[0]} and their labels in {images}"
            raise ValueError(f"{path}: variant {found!r} on {len(part['base'])} rows, expected {expected}")
        perturbed.append(to_pixels(clean) + part["noise"])
        errors.append(part["error"][-1].item())
        by_criterion.append(facts["by_criterion"])
    quantized = [(255 * part).round().to(torch.uint8) for part in perturbed]
    classes = len(store.read_attributes(images)["classes"])
    return Unlearnable(
        variant,
        clean,
        perturbed,
        quantized,
        labels,
        training_error=np.array(errors),
        by_criterion=by_criterion,
        test=stored["test_images"],
        test_labels=stored["test_labels"],
        classes=classes,
    )


def noise_facts(data: Unlearnable) -> dict[str, np.ndarray]:
    """Of each of the K perturbed sets, (K,) each: PSNR to the clean set in decibels, largest change of a pixel (range 1), training error."""
    pixels = to_pixels(data.clean)
    return {
        "psnr": np.array([psnr(images, pixels) for images in data.perturbed]),
        "noise_magnitude": np.array([(images - pixels).abs().max().item() for images in data.perturbed]),
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
    own = victims.pretrained_learning_rate if data.variant == "end-to-end" else None

    def build(seed: int) -> Classifier:
        return start_network(encoder, data.variant, classes=data.classes, seed=seed)

    accuracy = retrain_networks(
        [*data.perturbed, *data.quantized, data.clean],
        data.labels,
        (data.test, data.test_labels),
        build,
        victims,
        rate=own or victims.training.learning_rate,
        checkpoint=checkpoint,
    )
    K = len(data.perturbed)
    return {"network_accuracy": accuracy[:K], "quantized_network_accuracy": accuracy[K:-1], "clean_network_accuracy": accuracy[-1:]}
