"""What rules ask for: memory and minutes by the work that is planned, and GPUs where they are worth it."""

import math
from types import SimpleNamespace

import pytest
from featpoison.attacks import names
from featpoison.attacks.operations import Sizes
from featpoison.config import load
from featpoison.costs import resources
from featpoison.costs.resources import Resources
from helpers import ROOT

DEMO, PAPER = (load(ROOT / f"workflow/config/{name}.yaml") for name in ("demo", "paper"))
SIZES = Sizes(train=50_000, test=10_000, side=32, classes=10, features=512, forward=1e9)
PLACE = {"dataset": "cifar10", "encoder": "simclr-resnet18-cifar10", "budget": "0.1", "seed": "0"}
MATCHING = PLACE | {"attack": "feature-matching_free_beta0.1_gradpc-feature"}
N = 5000  # poisons: a tenth of the training images


@pytest.fixture
def large(monkeypatch):
    """The paper's resources, of sizes that are round."""
    monkeypatch.setattr(resources, "sizes_of", lambda *_: SIZES)
    return Resources(PAPER)


class Wildcards(SimpleNamespace):
    """Attributes that can be listed, as Snakemake passes them."""

    def items(self):
        return vars(self).items()


def wildcards(**values):
    return Wildcards(**values)


def test_memory_is_a_part_for_libraries_and_the_arrays_and_doubles_with_each_attempt(large):
    """Six copies of the images and four of the features of 5,000 poisons, in float32."""
    arrays = N * (6 * 3 * 32 * 32 + 4 * 512) * 4 / 1e6
    ask = large.memory(2, "poison_images")
    assert [ask(wildcards(**MATCHING), attempt) for attempt in (1, 2, 3)] == [
        math.ceil((2000 + arrays) * factor) for factor in (1, 2, 4)
    ]
    assert large.memory(3)(wildcards(**MATCHING), 2) == 6000


def test_minutes_on_a_gpu_grow_with_the_planned_work(large):
    """Two passes of each step and image, at 30 % of 989 TFLOP/s, six times over."""
    steps = PAPER.attacks.feature_matching.steps
    planned = 6 * N * steps * 2 * 1e9 / (0.3 * 989e12) / 60
    ask = large.minutes(10, "poison_images")
    assert [ask(wildcards(**MATCHING), attempt) for attempt in (1, 2)] == [
        math.ceil(10 + planned),
        math.ceil(2 * (10 + planned)),
    ]
    assert large.minutes(10)(wildcards(**MATCHING), 3) == 40


def test_without_a_gpu_nothing_is_planned(monkeypatch):
    """Small work on a CPU: twice the libraries' memory, and the fixed minutes."""
    monkeypatch.setattr(resources, "sizes_of", lambda *_: pytest.fail("planned"))
    small = Resources(DEMO)
    assert small.memory(1.5, "poison_images")(wildcards(**MATCHING), 1) == 3000
    assert small.minutes(10, "poison_images")(wildcards(**MATCHING), 2) == 20


def test_gpus_are_asked_for_where_there_are_any_and_the_attack_is_worth_one(large):
    small = Resources(DEMO)
    assert (large.gpu, small.gpu) == (1, 0)
    for name in names.making("target"):
        target = wildcards(dataset="cifar10", encoder="simclr-resnet18-cifar10", target=name)
        assert large.attack_gpu(target) == (1 if name == "gradpc-input" else 0), name
        assert small.attack_gpu(target) == 0
    assert large.attack_gpu(wildcards(**MATCHING)) == 1
    assert small.attack_gpu(wildcards(**MATCHING)) == 0


def test_sizes_are_looked_up_once_for_each_data_set_and_encoder(monkeypatch):
    asked = []
    monkeypatch.setattr(resources, "sizes_of", lambda config, *place: asked.append(place) or SIZES)
    large = Resources(PAPER)
    for rule in ("poison_images", "evaluate_attack"):
        for attempt in (1, 2):
            large.memory(1, rule)(wildcards(**MATCHING, defence="none"), attempt)
    assert asked == [("cifar10", "simclr-resnet18-cifar10")]
