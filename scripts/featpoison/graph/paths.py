"""Where each file lies, and the patterns of wildcards. A path says what a file is: its wildcards are names of
the configuration, an attack with its choices (`attacks/choices.py`), a budget and a seed."""

import re
from collections.abc import Iterable
from typing import get_args

from featpoison.attacks import names as attacks
from featpoison.attacks.choices import Makes, Pairing
from featpoison.graph import versions

ARCHIVES = "data/downloads"
IMAGES = "data/images/{dataset}.h5"
ENCODER = "data/encoders/{encoder}.safetensors"
SNAPSHOTS = "data/snapshots/{encoder}.safetensors"
PRETRAINING_POISONS = "data/pretraining_poisons/{encoder}/{poisoning}.h5"
SCREENED_IMAGES = "data/screened/{encoder}/images.h5"
SCREENED_POISONS = "data/screened/{encoder}/poisons.h5"
TARGET_MEASURES = "data/target_measures/{dataset}/{encoder}/{poisoned}.h5"
ENCODER_FACTS = "data/encoders/{encoder}.on-{dataset}.json"
FEATURES = "data/features/{dataset}/{encoder}.h5"
FEATURE_SHARD = "data/features/{dataset}/{encoder}.shards/{scatteritem}.h5"
NORMS = "data/norms/{dataset}/{encoder}.h5"
REACH = "data/reach/{dataset}/{encoder}.h5"
CLEAN_HEADS = "data/heads/{dataset}/{encoder}/clean.h5"
TRAJECTORY = "data/heads/{dataset}/{encoder}/trajectory.h5"
TARGET = "data/targets/{dataset}/{encoder}/{target}.h5"
TARGET_OF_BUDGET = "data/targets/{dataset}/{encoder}/{target}/eps{budget}.h5"
POISONED_FEATURES = "data/poisoned_features/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.h5"
PAIRS = "data/pairs/{dataset}/{encoder}/{attack}/{pairing}/eps{budget}-seed{seed}.h5"
POISONS = "data/poisons/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.h5"
POISON_SHARD = "data/poisons/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.shards/{scatteritem}.h5"
DEFENDED = "data/defended/{dataset}/{encoder}/{attack}/{defence}/eps{budget}-seed{seed}.h5"
TRANSFORMED = "data/transformed/{dataset}/{encoder}/{defence}.h5"
DEFENDED_HEADS = "data/defended_heads/{dataset}/{encoder}/{defence}.h5"
DEFENDED_VICTIMS = "data/defended_victims/{dataset}/{encoder}/{attack}/{defence}/eps{budget}.h5"
DEFENCE_SECONDS = "data/defended_victims/{dataset}/{encoder}/{attack}/{defence}/eps{budget}.seconds.json"
NOISE = "data/emn/{dataset}/{encoder}/{attack}/seed{seed}.h5"
DECODER = "data/decoders/{dataset}/{encoder}/{kind}.safetensors"
RECONSTRUCTIONS = "data/reconstructions/{dataset}/{encoder}.h5"
VICTIMS = "data/victims/{dataset}/{encoder}/{attack}/{defence}/eps{budget}.h5"
QUANTIZED_SHARD = "data/victims/{dataset}/{encoder}/{attack}/{defence}/eps{budget}.shards/{scatteritem}.h5"
TRANSFERS = "data/transfers/{dataset}/{encoder}/{onto}/{attack}/eps{budget}.h5"
"""Poisons made against `encoder`, victims on `onto`."""
PUBLISHED = "data/published/published_results.csv"
PATTERNS = (
    IMAGES,
    ENCODER,
    SNAPSHOTS,
    PRETRAINING_POISONS,
    SCREENED_IMAGES,
    SCREENED_POISONS,
    TARGET_MEASURES,
    FEATURES,
    CLEAN_HEADS,
    TRAJECTORY,
    NORMS,
    REACH,
    TARGET,
    TARGET_OF_BUDGET,
    POISONED_FEATURES,
    PAIRS,
    POISONS,
    DEFENDED,
    TRANSFORMED,
    DEFENDED_HEADS,
    DEFENDED_VICTIMS,
    NOISE,
    DECODER,
    RECONSTRUCTIONS,
    VICTIMS,
    TRANSFERS,
)
"""Of the products whose settings the audit compares."""

DECODER_KINDS = ("plain", "end-to-end", "skip")
PAIRINGS = get_args(Pairing)


def one_of(names: Iterable[str]) -> str:
    """A pattern that matches just these names; without names it matches nothing."""
    return "|".join(map(re.escape, names)) or "(?!)"


def segments_of(names: Iterable[str]) -> str:
    """A pattern that matches the segments of these attacks, whatever their choices."""
    return rf"(?:{one_of(names)})(?:_[A-Za-z0-9._-]+)?"


def segments_making(*makes: Makes) -> str:
    """A pattern that matches the segments of the attacks that make one of these."""
    return segments_of(attacks.making(*makes))


def wildcards_of(path: str) -> dict[str, str]:
    """The wildcards of a product's path, relative to the repository; empty where it is none of `PATTERNS`."""
    for pattern in PATTERNS:
        expression = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+?)", re.escape(pattern))
        if found := re.fullmatch(expression, path):
            return found.groupdict()
    return {}


def code(program: str, *chosen: str) -> str:
    """The version of a program and of the modules that it imports, or chooses by name: as a parameter of its
    rule, so that an edit of one of them runs the rule again, and an edit of a comment does not."""
    return versions.kept().of(program, *chosen)
