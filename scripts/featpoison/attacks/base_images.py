"""What the programs of image attacks share: arguments, where poisons start, the range they may be kept in, how they are written."""

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from featpoison import store
from featpoison.attacks.base_rows import choose_initial, poison_count
from featpoison.attacks.constraints import Box
from featpoison.attacks.input_space import InputSpace, Optimised, PullBack
from featpoison.common.precision import resolve
from featpoison.downstream.victims import Downstream
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import extract, pull_back, to_pixels
from featpoison.programs import program
from featpoison.records.provenance import Record


def parser(description: str | None) -> argparse.ArgumentParser:
    """The parser of an attack in input space."""
    result = program.parser(description)
    result.add_argument("--images", type=Path, required=True)
    result.add_argument("--encoder", type=Path, required=True)
    result.add_argument("--features", type=Path, required=True, help="feature cache of these images")
    result.add_argument("--budget", type=float, required=True, help="eps_d: poisons per clean training row")
    result.add_argument("--seed", type=int, required=True, help="poison seed: which clean images the poisons start from")
    result.add_argument("--settings", default="{}", help="JSON of the attack's settings")
    result.add_argument("output", type=Path)
    return result


@dataclass(frozen=True)
class Start:
    """The base images of an attack: rows of the training set (n,), images (n, 3, h, w) in [0, 1], features (n, d), labels (n,)."""

    rows: Tensor
    images: Tensor
    features: Tensor
    labels: Tensor


def start_at(rows: Tensor, task: Downstream, images: Path, device: torch.device) -> Start:
    """The images of the training rows `rows`, on `device`."""
    pixels = to_pixels(store.read(images, "train_images", rows=rows.numpy())["train_images"])
    return Start(rows, pixels.to(device), task.train[rows].to(device), task.train_labels[rows].to(device))


def random_start(task: Downstream, args: argparse.Namespace) -> Start:
    """Where a poison seed starts: a random choice of training images."""
    rows = choose_initial(task.train_labels, poison_count(args.budget, len(task.train)), args.seed)
    return start_at(rows, task, args.images, args.device)


def allowed(settings: InputSpace, images: Path) -> Box:
    """The set that an attack keeps its images in: the range of the clean training images where constrained."""
    if not settings.constrained:
        return Box()
    low, high = store.extent(images, "train_images")
    return Box(float(low) / 255, float(high) / 255)


def through(encoder: Path, settings: InputSpace, device: torch.device) -> PullBack:
    """Gradients pushed back through the encoder in `encoder`, with BatchNorm folded."""
    folded = load_encoder(encoder).fold_batchnorm().to(device)
    return partial(pull_back, encoder=folded, dtype=resolve(settings.precision, device))


def write_poisons(args: argparse.Namespace, start: Start, found: Optimised, record: Record, batch_size: int, **facts: object) -> None:
    """The poison file of an attack: images, their features by the unfolded encoder, labels, base rows, and how far its objective came."""
    images = found.poisons.cpu()
    features = extract(images, load_encoder(args.encoder).to(args.device), batch_size=batch_size)
    arrays = {"images": images, "features": features, "labels": start.labels.cpu(), "base": start.rows}
    facts |= {"eps_d": args.budget, "first_value": found.first_value, "last_value": found.last_value, "epochs": found.epochs}
    store.write(args.output, {name: tensor.numpy() for name, tensor in arrays.items()}, record, **facts)
