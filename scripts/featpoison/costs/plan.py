"""What a planned run costs: floating-point operations, bytes on disk and memory of each job, counted from
formulas before anything runs.

An attack counts its own work and memory (`attacks/`); here stand the other steps, and what both need to know:
the sizes of data sets and encoders, and the jobs of a plan. The converged victim has no useful bound:
`NEWTON_PRODUCTS`.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from featpoison import store
from featpoison.attacks import choices, emn, pretraining_names
from featpoison.attacks import names as attacks
from featpoison.attacks.attack import Attack
from featpoison.attacks.operations import Sizes, Work, hessian_product, training_pass
from featpoison.config import Config
from featpoison.costs.counted import Counted
from featpoison.datasets.sizes import OFFICIAL_SIZES, side_of
from featpoison.datasets.sources import Dataset
from featpoison.datasets.sources import load as load_images
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.decoder import build
from featpoison.encoders.encoder import Encoder
from featpoison.graph.steps import FROZEN_NOISE, Steps
from featpoison.records.provenance import ROOT

NEWTON_PRODUCTS = 500
"""Hessian-vector products of one converged victim: a round figure above what the demo's clean heads take."""


@cache
def forward_flops(architecture: Architecture, side: int) -> tuple[float, int]:
    """Operations of one image's pass (multiplications and additions), and the number of features."""
    encoder = Encoder(architecture).eval()
    with Counted() as counted, torch.no_grad():
        features = encoder(torch.empty(1, 3, side, side))
    return float(counted.operations), features.shape[1]


@cache
def decoder_flops(architecture: Architecture, image: tuple[int, int], channels: tuple[int, ...]) -> float:
    """Operations of one image's pass through a decoder with skip connections, the largest kind. `image`:
    height and width.

    Raises EncoderError where the encoder has no maps.
    """
    network = build(Encoder(architecture).freeze(), "skip", image, channels)
    pixels = torch.empty(1, 3, *image)
    with Counted() as both, torch.no_grad():
        network(pixels)
    with Counted() as encoder, torch.no_grad():
        network.encoder(pixels)
    return float(both.operations - encoder.operations)


def sizes_of(config: Config, dataset: str, encoder: str) -> Sizes:
    """The sizes of a data set of `config` seen through one of its encoders, from what is here or from what is
    known before a download."""
    train, test, side, classes = _sizes(dataset, config.datasets[dataset])
    forward, features = forward_flops(_architecture(config, encoder), side)
    return Sizes(train, test, side, classes, features, forward)


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
        return (
            len(images.train_labels),
            len(images.test_labels),
            images.train_images.shape[-1],
            len(images.classes),
        )
    train, test, _, classes = OFFICIAL_SIZES[dataset.format]
    return dataset.train_images or train, test, side_of(dataset), classes


def _architecture(config: Config, encoder: str) -> Architecture:
    """Raises ValueError where it is not known before a download."""
    known = config.architecture_of(encoder)
    if known is None:
        raise ValueError(
            "the architecture of weights that are not here yet is unknown; expected 'path', or "
            "'architecture' with 'format'"
        )
    return known


@dataclass(frozen=True)
class PlannedJob:
    """A job that a plan names: its rule and its wildcards."""

    rule: str
    wildcards: dict[str, str]

    @property
    def attack(self) -> Attack | None:
        """The attack of its path, where it has one."""
        if "target" in self.wildcards and self.rule.startswith("make_target_head"):
            return attacks.load(self.wildcards["target"])
        return (
            attacks.load(choices.parse(self.wildcards["attack"]).method)
            if "attack" in self.wildcards
            else None
        )


def planned_jobs(plan: str) -> list[PlannedJob]:
    """The jobs of a dry run's text (`snakemake --dry-run`)."""
    jobs = []
    for block in re.split(r"^(?:local)?rule ", plan, flags=re.MULTILINE)[1:]:
        rule = block.split(":", 1)[0]
        line = re.search(r"^    wildcards: (.*)$", block, flags=re.MULTILINE)
        pairs = line[1].split(", ") if line else []
        jobs.append(PlannedJob(rule, dict(pair.split("=", 1) for pair in pairs)))
    return jobs


Sizing = Callable[[str, str], Sizes]
"""The sizes of (data set, encoder)."""
ATTACK_RULES = (
    "make_target_head",
    "make_target_head_of_budget",
    "poison_features",
    "poison_images",
    "poison_shard",
    "make_emn_noise",
)
"""The rules that run an attack, which counts its own work and memory."""


def work_of(job: PlannedJob, config: Config, sizing: Sizing) -> Work:
    """The work of a job. Rules that only move or draw results cost nothing here."""
    if job.rule in ATTACK_RULES:
        attack = _attack(job)
        sizes, settings = _sizes_of_job(job, config, sizing), config.settings_of(attack)
        return attack.work(sizes, settings, _poisons(sizes, job) / _shards(job, config))
    if job.rule not in WORK:
        return Work()
    return WORK[job.rule](_sizes_of_job(job, config, sizing), config, job)


def memory_of(job: PlannedJob, config: Config, sizing: Sizing) -> float:
    """Bytes of the arrays that a job holds in main memory at once; libraries come on top. 0 for rules that
    hold next to nothing."""
    if job.rule in ATTACK_RULES:
        attack = _attack(job)
        sizes, settings = _sizes_of_job(job, config, sizing), config.settings_of(attack)
        return attack.memory(sizes, settings, _poisons(sizes, job)) / _shards(job, config)
    if job.rule not in MEMORY:
        return 0.0
    return MEMORY[job.rule](_sizes_of_job(job, config, sizing), config, job)


def _attack(job: PlannedJob) -> Attack:
    attack = job.attack
    assert attack is not None
    return attack


def _sizes_of_job(job: PlannedJob, config: Config, sizing: Sizing) -> Sizes:
    """The sizes of the job's data set, which for pre-training is not in its path, seen through the encoder of
    its victims, which where poisons travel is not the first of its path."""
    dataset = job.wildcards.get("dataset")
    if dataset is None:
        dataset = Path(Steps(config).pretraining_images(SimpleNamespace(**job.wildcards))).stem
    return sizing(dataset, job.wildcards.get("onto", job.wildcards["encoder"]))


def _poisons(sizes: Sizes, job: PlannedJob) -> int:
    """Poisons of one seed; 0 where the path has no budget."""
    return round(float(job.wildcards["budget"]) * sizes.train) if "budget" in job.wildcards else 0


def _shards(job: PlannedJob, config: Config) -> int:
    """Jobs over which an attack is spread: a shard has the rule's resources by its wildcards alone."""
    return config.shards if job.rule == "poison_shard" or "scatteritem" in job.wildcards else 1


def _pretraining(sizes: Sizes, config: Config, job: PlannedJob) -> Work:
    """Two views of every image; poisons are images like others, and a subset leaves some out."""
    pretraining = config.encoders[job.wildcards["encoder"]].pretraining
    assert pretraining is not None
    images = sizes.train + _pretraining_poisons(sizes, config, job)
    if pretraining.screening:
        images -= round(pretraining.screening.share * images)
    if pretraining.subset:
        images = pretraining.subset.images
    return Work(pretraining.simclr.epochs * images * 2 * training_pass(sizes.forward))


def _pretraining_poisons(sizes: Sizes, config: Config, job: PlannedJob) -> int:
    """The images that poison the pre-training of a job's encoder."""
    poisoning = config.poisoning_of(job.wildcards["encoder"])
    return round(poisoning.rate * sizes.train) if poisoning else 0


def _memory_of_pretraining(sizes: Sizes, config: Config, job: PlannedJob) -> float:
    """All images; a combination may be twice as large as an image."""
    return sizes.held(_pretraining_poisons(sizes, config, job), images=1, poisons=2)


def _screening(sizes: Sizes, config: Config, job: PlannedJob) -> Work:
    """A pass of each image, and the cosine of each pair."""
    n = sizes.train + _pretraining_poisons(sizes, config, job)
    return Work(n * sizes.forward + 2 * n * n * sizes.features)


def _memory_of_screening(sizes: Sizes, config: Config, job: PlannedJob) -> float:
    """All images and what is kept of them, one byte a value, with features twice."""
    return sizes.held(_pretraining_poisons(sizes, config, job), images=1, features=2, poisons=2, poisoned=2)


def _memory_of_poisoning(sizes: Sizes, config: Config, job: PlannedJob) -> float:
    poisoning = config.poisoning_of(job.wildcards["encoder"])
    assert poisoning is not None
    attack = pretraining_names.load(poisoning.attack)
    return attack.memory(sizes, poisoning.settings, _pretraining_poisons(sizes, config, job))


def _extraction(sizes: Sizes, config: Config, job: PlannedJob) -> Work:
    rows = (sizes.train + sizes.test) / config.feature_shards
    return Work(rows * sizes.forward, bytes=rows * sizes.feature_bytes)


def _transformation(sizes: Sizes, config: Config, job: PlannedJob) -> Work:
    """The passes of the defence that makes most of an image: five crops."""
    rows = sizes.train + sizes.test
    return Work(5 * rows * sizes.forward, bytes=rows * sizes.feature_bytes)


def _heads(sizes: Sizes, config: Config, sets: int, poisons: int) -> Work:
    """`sets` training sets of N + `poisons` rows: sgd100 of every seed, and a converged victim."""
    rows, victims = sizes.train + poisons, config.victims
    epoch = hessian_product(rows, sizes.features, sizes.classes)
    return Work(sets * len(victims.seeds) * victims.sgd100.epochs * epoch, sets * NEWTON_PRODUCTS * epoch)


def _trajectory(sizes: Sizes, config: Config, job: PlannedJob) -> Work:
    """A training of its own for each step size and number of epochs."""
    declared = config.trajectory
    epochs = len(declared.step_sizes) * sum(declared.epochs)
    return Work(epochs * hessian_product(sizes.train, sizes.features, sizes.classes))


def _evaluation(sizes: Sizes, config: Config, job: PlannedJob) -> Work:
    """Of images also as 8-bit images, whose features may be extracted elsewhere."""
    images = _attack(job).makes == "images"
    sets = len(config.poison_seeds) * (2 if images else 1)
    own = _quantized(sizes, config, job).flops if images and config.evaluation_shards == 1 else 0.0
    return _heads(sizes, config, sets, _poisons(sizes, job)) + Work(own)


def _transfer(sizes: Sizes, config: Config, job: PlannedJob) -> Work:
    """The features of all poison seeds' images, and the victims on them."""
    sets, poisons = len(config.poison_seeds), _poisons(sizes, job)
    return _heads(sizes, config, sets, poisons) + Work(sets * poisons * sizes.forward)


def _quantized(sizes: Sizes, config: Config, job: PlannedJob) -> Work:
    rows = len(config.poison_seeds) * _poisons(sizes, job) / config.evaluation_shards
    return Work(rows * sizes.forward, bytes=rows * sizes.feature_bytes)


def _defended(sizes: Sizes, config: Config, job: PlannedJob) -> Work:
    """The victims of every poison seed, or of the clean training set; as much again for the defence, whose
    work is mostly that of training heads."""
    sets = len(config.poison_seeds) if "budget" in job.wildcards else 1
    return _heads(sizes, config, 2 * sets, _poisons(sizes, job))


def _decoder(sizes: Sizes, config: Config, job: PlannedJob) -> Work:
    settings: Any = config.settings_of(attacks.load("decoder-inversion"))
    architecture = _architecture(config, job.wildcards["encoder"])
    decoder = decoder_flops(architecture, (sizes.side, sizes.side), settings.channels)
    return Work(settings.epochs * sizes.train * (sizes.forward + training_pass(decoder)))


def _emn_victims(sizes: Sizes, config: Config, job: PlannedJob) -> Work:
    sets = len(config.poison_seeds)
    if job.wildcards["attack"] == FROZEN_NOISE:
        return _heads(sizes, config, sets + 1, 0) + Work((sets + 1) * sizes.train * sizes.forward)
    victims = config.network_victims
    epochs = (sets + 1) * len(victims.seeds) * victims.epochs
    return Work(epochs * sizes.train * training_pass(sizes.forward))


WORK: dict[str, Callable[[Sizes, Config, PlannedJob], Work]] = {
    "pretrain_encoder": _pretraining,
    "pretrain_in_stages": _pretraining,
    "screen_pretraining": _screening,
    "extract_features": _extraction,
    "transform_features": _transformation,
    "train_heads": lambda sizes, config, job: _heads(sizes, config, 1, 0),
    "train_trajectory": _trajectory,
    "train_decoder": _decoder,
    "extract_quantized": _quantized,
    "evaluate_attack": _evaluation,
    "evaluate_transfer": _transfer,
    "evaluate_defence": _defended,
    "evaluate_clean_defence": _defended,
    "evaluate_emn": _emn_victims,
}


def _memory_of_quantized(sizes: Sizes, config: Config, job: PlannedJob) -> float:
    return sizes.held(_poisons(sizes, job), poisons=4, poisoned=6) / config.evaluation_shards


def _memory_of_evaluation(sizes: Sizes, config: Config, job: PlannedJob) -> float:
    n, seeds = _poisons(sizes, job), len(config.poison_seeds)
    if _attack(job).makes == "images":  # those of one poison seed at a time
        return sizes.held(n, features=6, poisons=5, poisoned=12 * seeds)
    return sizes.held(n, features=6, poisoned=6 * seeds)


def _memory_of_transfer(sizes: Sizes, config: Config, job: PlannedJob) -> float:
    n = len(config.poison_seeds) * _poisons(sizes, job)
    return sizes.held(n, features=6, poisons=6, poisoned=8)


def _memory_of_emn(sizes: Sizes, config: Config, job: PlannedJob) -> float:
    perturbed = emn.perturbed_images(sizes, config.settings_of(_attack(job)))
    n = len(config.poison_seeds) * perturbed
    return sizes.held(n, images=6, features=6, poisons=4, poisoned=2)


def _memory_of_defended(sizes: Sizes, config: Config, job: PlannedJob) -> float:
    """Features of the training set a few times, also as float64, and images of the poisons."""
    return sizes.held(_poisons(sizes, job), features=10, poisons=4, poisoned=12)


MEMORY: dict[str, Callable[[Sizes, Config, PlannedJob], float]] = {
    "pretrain_encoder": _memory_of_pretraining,
    "pretrain_in_stages": _memory_of_pretraining,
    "poison_pretraining": _memory_of_poisoning,
    "screen_pretraining": _memory_of_screening,
    "extract_features": lambda sizes, config, job: sizes.held(features=2) / config.feature_shards,
    "train_heads": lambda sizes, config, job: sizes.held(features=4),
    "train_trajectory": lambda sizes, config, job: sizes.held(features=4),
    "pair_features": lambda sizes, config, job: sizes.held(_poisons(sizes, job), features=2, poisoned=4),
    "train_decoder": lambda sizes, config, job: sizes.held(images=2),
    "defend_poisons": lambda sizes, config, job: sizes.held(_poisons(sizes, job), poisons=3),
    "extract_quantized": _memory_of_quantized,
    "transform_features": lambda sizes, config, job: sizes.held(images=2, features=3),
    "evaluate_defence": _memory_of_defended,
    "evaluate_clean_defence": _memory_of_defended,
    "evaluate_attack": _memory_of_evaluation,
    "evaluate_transfer": _memory_of_transfer,
    "evaluate_emn": _memory_of_emn,
}
"""Bytes of float32 arrays held at once; upper bounds, the largest of them measured
(tests/costs/test_memory.py)."""


def by_rule(jobs: Iterable[PlannedJob], config: Config, sizing: Sizing) -> dict[str, tuple[int, Work]]:
    """For each rule that is planned, and each attack of a rule that runs one: how many jobs, and their work
    in all."""
    result: dict[str, tuple[int, Work]] = {}
    for job in jobs:
        name = f"{job.rule} {_attack(job).name}" if job.rule in ATTACK_RULES else job.rule
        count, work = result.get(name, (0, Work()))
        result[name] = (count + 1, work + work_of(job, config, sizing))
    return result
