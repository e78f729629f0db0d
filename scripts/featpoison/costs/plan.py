"""What a planned run costs: floating-point operations, bytes on disk and memory of each job, counted from formulas before anything runs.

n poisons, N training images, m test images, d features, C classes, F operations of one image's pass through the encoder. A pass back to
the pixels costs what the pass forward costs; one that also updates weights costs twice that. Iterative work counts its most iterations,
so an early stop makes a run cheaper than its plan, except for the converged victim, which has no useful bound: `NEWTON_PRODUCTS`.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from featpoison import store
from featpoison.config import Config, EncoderEntry
from featpoison.datasets.sources import Dataset
from featpoison.datasets.sources import load as load_images
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.encoder import Encoder
from featpoison.records.provenance import ROOT, canonical_json
from featpoison.records.seal import read_metadata

FLOAT_BYTES = 4
PEAK, DOUBLE_PEAK = 989e12, 67e12
"""Operations a second of one H100 or H200 in dense bf16 and in float64 (data sheet)."""
EFFICIENCY = 0.3
"""Assumed share of the peak."""
NEWTON_PRODUCTS = 500
"""Hessian-vector products of one converged victim: a round figure above what the demo's clean heads take."""
UNBOUNDED_ROUNDS = 100
"""Rounds of EMN where the configuration sets no most."""
OFFICIAL_SIZES = {
    "cifar-10-binary": (50_000, 10_000, 32, 10),
    "cifar-100-binary": (50_000, 10_000, 32, 100),
    "fashion-mnist": (60_000, 10_000, 32, 10),
    "patch-camelyon": (262_144, 32_768, 96, 2),
    "tiny-imagenet-200": (100_000, 10_000, 64, 200),
}
"""Training images, test images, side, classes: of archives that are not here yet, by format."""


@dataclass(frozen=True)
class Work:
    """Operations in the encoder's precision, operations in float64, and bytes written."""

    flops: float = 0.0
    double_flops: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        """Entry by entry."""
        return Work(self.flops + other.flops, self.double_flops + other.double_flops, self.bytes + other.bytes)

    def hours(self, peak: float = PEAK, double_peak: float = DOUBLE_PEAK, efficiency: float = EFFICIENCY) -> float:
        """Hours of one GPU with these peaks."""
        return (self.flops / peak + self.double_flops / double_peak) / efficiency / 3600


@dataclass(frozen=True)
class Job:
    """A planned job: its rule and its wildcards."""

    rule: str
    wildcards: dict[str, str]


@dataclass(frozen=True)
class Task:
    """The sizes of a data set seen through an encoder."""

    train: int
    test: int
    side: int
    classes: int
    features: int
    forward: float

    @property
    def image_bytes(self) -> int:
        """Of one poison, float32."""
        return 3 * self.side**2 * FLOAT_BYTES


def canceling_step(n: int, d: int, classes: int) -> int:
    """Five products of n x d x C: S, (P - Y)^T Z, U, (P - Y) R, J W (`softmax.canceling_step`)."""
    return 10 * n * d * classes


def hessian_product(rows: int, d: int, classes: int) -> int:
    """Two products of rows x (d + 1) x C (`softmax.hessian_vector_product`); a gradient of the head costs the same."""
    return 4 * rows * (d + 1) * classes


def to_pixels_and_back(forward: float) -> float:
    """A pass through the encoder and a pass back to the pixels."""
    return 2 * forward


def training_pass(forward: float) -> float:
    """A pass through a network, and one back to its weights and its inputs."""
    return 3 * forward


@cache
def forward_flops(architecture: Architecture, side: int) -> tuple[float, int]:
    """Operations of one image's pass (multiplications and additions), and the number of features."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        features = Encoder(architecture).eval()(torch.empty(1, 3, side, side))
    return float(counter.get_total_flops()), features.shape[1]


def task_of(config: Config, dataset: str, encoder: str) -> Task:
    """The sizes of a data set of `config` seen through one of its encoders, from what is here or from what is known before a download."""
    train, test, side, classes = _sizes(dataset, config.datasets[dataset])
    forward, features = forward_flops(_architecture(config.encoders[encoder]), side)
    return Task(train, test, side, classes, features, forward)


@cache
def _sizes_of_file(path: Path) -> tuple[int, int, int, int]:
    lengths = store.lengths(path)
    side = store.read(path, "test_images", rows=slice(0, 1))["test_images"].shape[-1]
    return lengths["train_labels"], lengths["test_labels"], side, len(store.read_attributes(path)["classes"])


def _sizes(name: str, dataset: Dataset) -> tuple[int, int, int, int]:
    made = ROOT / f"data/images/{name}.h5"
    if made.exists():
        return _sizes_of_file(made)
    if dataset.local_files:
        images, _ = load_images(dataset, ROOT / "data/downloads")
        return len(images.train_labels), len(images.test_labels), images.train_images.shape[-1], len(images.classes)
    train, test, side, classes = OFFICIAL_SIZES[dataset.format]
    return dataset.train_images or train, test, dataset.side or side, classes


def _architecture(entry: EncoderEntry) -> Architecture:
    if entry.pretraining:
        return entry.pretraining.simclr.architecture
    if entry.architecture:
        return entry.architecture
    path = entry.weights.path if entry.weights else None
    if path is None:
        raise ValueError("the architecture of weights that are not here yet is unknown; expected 'path', or 'architecture' with 'format'")
    return Architecture.model_validate_json(canonical_json(read_metadata(ROOT / path)["architecture"]))


def planned_jobs(plan: str) -> list[Job]:
    """The jobs of a dry run's text (`snakemake --dry-run`)."""
    jobs = []
    for block in re.split(r"^(?:local)?rule ", plan, flags=re.MULTILINE)[1:]:
        rule = block.split(":", 1)[0]
        line = re.search(r"^    wildcards: (.*)$", block, flags=re.MULTILINE)
        pairs = line[1].split(", ") if line else []
        jobs.append(Job(rule, dict(pair.split("=", 1) for pair in pairs)))
    return jobs


def work_of(job: Job, config: Config, tasks: Callable[[str, str], Task]) -> Work:
    """The work of a job; `tasks` gives the sizes of (data set, encoder). Rules that only move or draw results cost nothing here."""
    if job.rule not in COSTS:
        return Work()
    wildcards = job.wildcards
    if job.rule == "pretrain_encoder":
        dataset = config.encoders[wildcards["encoder"]].pretraining.dataset  # type: ignore[union-attr]
        return _pretraining(tasks(dataset, wildcards["encoder"]), config, wildcards["encoder"])
    task = tasks(wildcards["dataset"], wildcards["encoder"])
    return COSTS[job.rule](task, config, wildcards)


def _poisons(task: Task, wildcards: dict[str, str]) -> int:
    return round(float(wildcards["budget"]) * task.train)


def _pretraining(task: Task, config: Config, encoder: str) -> Work:
    simclr = config.encoders[encoder].pretraining.simclr  # type: ignore[union-attr]
    return Work(simclr.epochs * task.train * 2 * training_pass(task.forward))


def _extraction(task: Task, config: Config, wildcards: dict[str, str]) -> Work:
    rows = (task.train + task.test) / config.feature_shards
    return Work(rows * task.forward, bytes=rows * task.features * FLOAT_BYTES)


def _heads(task: Task, config: Config, sets: int, poisons: int) -> Work:
    """`sets` training sets of N + `poisons` rows: sgd100 of every seed, and a converged victim."""
    rows, victims = task.train + poisons, config.victims
    epoch = hessian_product(rows, task.features, task.classes)
    return Work(sets * len(victims.seeds) * victims.sgd100.epochs * epoch, sets * NEWTON_PRODUCTS * epoch)


def _evaluation(task: Task, config: Config, wildcards: dict[str, str], variants: int) -> Work:
    return _heads(task, config, len(config.poison_seeds) * variants, _poisons(task, wildcards))


def _evaluation_of_images(task: Task, config: Config, wildcards: dict[str, str]) -> Work:
    """As floats and as 8-bit images, whose features may be extracted elsewhere."""
    own = _quantized(task, config, wildcards).flops if config.evaluation_shards == 1 else 0.0
    return _evaluation(task, config, wildcards, 2) + Work(own)


def _quantized(task: Task, config: Config, wildcards: dict[str, str]) -> Work:
    rows = len(config.poison_seeds) * _poisons(task, wildcards) / config.evaluation_shards
    return Work(rows * task.forward, bytes=rows * task.features * FLOAT_BYTES)


def _canceling(task: Task, config: Config, wildcards: dict[str, str]) -> Work:
    n = _poisons(task, wildcards)
    steps = config.attacks.gradient_canceling.iterations
    return Work(0, steps * canceling_step(n, task.features, task.classes), n * task.features * FLOAT_BYTES)


def _matching(task: Task, config: Config, wildcards: dict[str, str]) -> Work:
    n = _poisons(task, wildcards) / config.shards
    return Work(n * config.attacks.feature_matching.steps * to_pixels_and_back(task.forward), bytes=n * task.image_bytes)


def _input_space(task: Task, epochs: int, wildcards: dict[str, str], step: float) -> Work:
    """An attack on images: `step` float64 operations beside the two passes, in each epoch."""
    n = _poisons(task, wildcards)
    return Work(epochs * n * to_pixels_and_back(task.forward), epochs * step, n * task.image_bytes)


def _gc_input(task: Task, config: Config, wildcards: dict[str, str]) -> Work:
    step = canceling_step(_poisons(task, wildcards), task.features, task.classes)
    return _input_space(task, config.attacks.gc_input.epochs, wildcards, step)


def _tgda(task: Task, config: Config, wildcards: dict[str, str]) -> Work:
    settings = config.attacks.tgda_input
    rows = task.train + _poisons(task, wildcards)
    products = settings.head_steps + settings.iterations
    return _input_space(task, settings.epochs, wildcards, products * hessian_product(rows, task.features, task.classes))


def _bilevel(task: Task, config: Config, wildcards: dict[str, str]) -> Work:
    rows = task.train + _poisons(task, wildcards)
    step = 40 * hessian_product(rows, task.features, task.classes)  # two Newton steps and q, of a dozen preconditioned products each
    return _input_space(task, config.attacks.exact_input.epochs, wildcards, step)


def _bilevel_features(task: Task, config: Config, wildcards: dict[str, str]) -> Work:
    n = _poisons(task, wildcards)
    step = 40 * hessian_product(task.train + n, task.features, task.classes)
    return Work(0, config.attacks.exact_feature.epochs * step, n * task.features * FLOAT_BYTES)


def _decoder(task: Task, config: Config, wildcards: dict[str, str]) -> Work:
    settings = config.attacks.decoder_inversion
    decoder = 2 * task.forward  # stated, not counted: its channels mirror those of the encoder at twice the resolution
    return Work(settings.epochs * task.train * (task.forward + training_pass(decoder)))


def _inversion(task: Task, config: Config, wildcards: dict[str, str]) -> Work:
    n = _poisons(task, wildcards)
    return Work(3 * n * task.forward, bytes=n * task.image_bytes)


def _perturbed(task: Task, config: Config) -> int:
    """Training images that EMN works on."""
    per_class = config.attacks.emn.images_per_class
    return task.train if per_class is None else per_class * task.classes


def _unlearnable(task: Task, config: Config, wildcards: dict[str, str]) -> Work:
    emn, images = config.attacks.emn, _perturbed(task, config)
    rounds = emn.max_rounds or UNBOUNDED_ROUNDS
    training = emn.training_steps * emn.training.batch_size * training_pass(task.forward)
    noise = emn.steps * images * to_pixels_and_back(task.forward)
    return Work(rounds * (training + noise), bytes=images * task.image_bytes)


def _unlearnable_victims(task: Task, config: Config, wildcards: dict[str, str]) -> Work:
    sets = len(config.poison_seeds)
    if wildcards["variant"] == "input":
        return _heads(task, config, sets + 1, 0) + Work((sets + 1) * task.train * task.forward)
    victims = config.network_victims
    return Work((sets + 1) * len(victims.seeds) * victims.epochs * task.train * training_pass(task.forward))


COSTS: dict[str, Callable[[Task, Config, dict[str, str]], Work]] = {
    "pretrain_encoder": lambda task, config, wildcards: _pretraining(task, config, wildcards["encoder"]),
    "extract_features": _extraction,
    "train_heads": lambda task, config, wildcards: _heads(task, config, 1, 0),
    "make_target_head_from_images": lambda task, config, wildcards: Work(task.train * task.forward),
    "cancel_gradient": _canceling,
    "match_features": _matching,
    "poison_by_canceling": _gc_input,
    "poison_by_tgda": _tgda,
    "poison_by_bilevel": _bilevel,
    "poison_features_by_bilevel": _bilevel_features,
    "train_decoder": _decoder,
    "invert_features": _inversion,
    "evaluate_features": lambda task, config, wildcards: _evaluation(task, config, wildcards, 1),
    "extract_quantized": _quantized,
    "evaluate_images": _evaluation_of_images,
    "make_unlearnable": _unlearnable,
    "evaluate_unlearnable": _unlearnable_victims,
}


class Held(NamedTuple):
    """How many float32 copies of each array a job has in main memory at once: what it reads, works on, and writes into a checkpoint.

    Upper bounds, the largest of them measured (tests/test_memory.py).
    """

    images: float = 0
    """Of the training images that it works on."""
    features: float = 0
    """Of all clean features."""
    poisons: float = 0
    """Of the poison images of a seed."""
    poisoned: float = 0
    """Of their features; float64 counts twice."""
    every_seed: bool = False
    """Whether it works on the poisons of all seeds."""
    shards: Callable[[Config], int] = lambda config: 1
    """Over how many jobs the arrays are spread."""


HELD = {
    "pretrain_encoder": Held(images=1),
    "extract_features": Held(features=2, shards=lambda config: config.feature_shards),
    "train_heads": Held(features=4),
    "make_target_head": Held(features=5),
    "make_target_head_from_images": Held(features=5),
    "cancel_gradient": Held(features=2, poisoned=16),
    "poison_features_by_bilevel": Held(features=6, poisoned=16),
    "pair_features": Held(features=2, poisoned=4),
    "match_features": Held(poisons=6, poisoned=4, shards=lambda config: config.shards),
    "poison_by_canceling": Held(features=2, poisons=14, poisoned=8),
    "poison_by_tgda": Held(features=4, poisons=14, poisoned=8),
    "poison_by_bilevel": Held(features=6, poisons=14, poisoned=8),
    "train_decoder": Held(images=2),
    "invert_features": Held(poisons=4, poisoned=2),
    "filter_poisons": Held(poisons=3),
    "extract_quantized": Held(poisons=4, poisoned=6, shards=lambda config: config.evaluation_shards),
    "evaluate_features": Held(features=6, poisoned=6, every_seed=True),
    "evaluate_images": Held(features=6, poisons=12, poisoned=12, every_seed=True),
    "make_unlearnable": Held(images=7),
    "evaluate_unlearnable": Held(images=6, features=6, poisons=4, poisoned=2, every_seed=True),
}


def memory_of(job: Job, config: Config, tasks: Callable[[str, str], Task]) -> float:
    """Bytes of the arrays that a job holds in main memory at once, by `HELD`; libraries come on top. 0 for rules that hold next to nothing."""
    if job.rule not in HELD:
        return 0.0
    held, wildcards = HELD[job.rule], job.wildcards
    dataset = wildcards.get("dataset") or config.encoders[wildcards["encoder"]].pretraining.dataset  # type: ignore[union-attr]
    task = tasks(dataset, wildcards["encoder"])
    images = _perturbed(task, config) if job.rule == "make_unlearnable" else task.train
    n = _poisons(task, wildcards) if "budget" in wildcards else _perturbed(task, config)
    sets = len(config.poison_seeds) if held.every_seed else 1
    clean = held.images * images * task.image_bytes + held.features * (task.train + task.test) * task.features * FLOAT_BYTES
    poisoned = held.poisons * n * task.image_bytes + held.poisoned * n * task.features * FLOAT_BYTES
    return (clean + sets * poisoned) / held.shards(config)


def by_rule(jobs: Iterable[Job], config: Config, tasks: Callable[[str, str], Task]) -> dict[str, tuple[int, Work]]:
    """For each rule that is planned: how many jobs, and their work in all."""
    result: dict[str, tuple[int, Work]] = {}
    for job in jobs:
        count, work = result.get(job.rule, (0, Work()))
        result[job.rule] = (count + 1, work + work_of(job, config, tasks))
    return result
