"""The plan's costs against a count of our own, and against what has to scale with what."""

import subprocess
import sys

import pytest
import torch
from featpoison.config import load
from featpoison.costs import plan
from featpoison.costs.plan import Job, Task, Work
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.encoder import Encoder
from helpers import ROOT
from torch import nn

DEMO, PAPER = (load(ROOT / f"workflow/config/{name}.yaml") for name in ("demo", "paper"))
TASK = Task(train=5000, test=2000, side=32, classes=10, features=128, forward=1e7)
PLACE = {"dataset": "cifar10-5k", "encoder": "embedded-simclr-cifar10", "budget": "0.03", "attack": "gc-input", "constrained": "", "seed": "0"}
PLAN = """rule fetch_dataset:
    output: data/images/a.h5
    wildcards: dataset=a
localrule gather_shards:
    output: x
    wildcards: dataset=a, encoder=b, budget=0.03, seed=1
rule all:
    input: x
Job stats:
job    count
"""


def convolution_flops(network, pixels):
    """Two operations for each weight of a convolution and each place of its output."""
    total = 0

    def count(module, _, output):
        nonlocal total
        total += 2 * module.weight.numel() * output.shape[-2] * output.shape[-1]

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    network(pixels)
    return total


@pytest.mark.parametrize(("width", "stride", "side"), [(8, 2, 32), (8, 1, 32), (16, 2, 64)])
def test_a_pass_costs_its_convolutions(width, stride, side):
    architecture = Architecture(width=width, stem_stride=stride)
    flops, features = plan.forward_flops(architecture, side)
    assert flops == convolution_flops(Encoder(architecture).eval(), torch.zeros(1, 3, side, side))
    assert features == 8 * width


def test_jobs_of_a_plan():
    assert plan.planned_jobs(PLAN) == [
        Job("fetch_dataset", {"dataset": "a"}),
        Job("gather_shards", {"dataset": "a", "encoder": "b", "budget": "0.03", "seed": "1"}),
        Job("all", {}),
    ]


@pytest.mark.parametrize("rule", [rule for rule in plan.COSTS if rule not in ("pretrain_encoder", "make_unlearnable", "evaluate_unlearnable")])
def test_every_stage_costs_something_and_grows_with_the_training_set(rule):
    def work(train):
        return plan.work_of(Job(rule, PLACE), DEMO, lambda *_: Task(train, 2000, 32, 10, 128, 1e7))

    small, large = work(5000), work(10_000)
    assert small.flops + small.double_flops > 0
    assert large.flops + large.double_flops > 1.4 * (small.flops + small.double_flops)


@pytest.mark.parametrize("rule", ["make_unlearnable", "evaluate_unlearnable"])
@pytest.mark.parametrize("variant", ["original", "end-to-end", "input"])
def test_unlearnable_examples_cost_something(rule, variant):
    assert plan.work_of(Job(rule, PLACE | {"variant": variant}), DEMO, lambda *_: TASK).flops > 0


def test_matching_costs_what_its_formula_says():
    n, steps = 150, DEMO.attacks.feature_matching.steps
    assert plan.work_of(Job("match_features", PLACE), DEMO, lambda *_: TASK) == Work(n * steps * 2 * 1e7, 0, n * 3 * 32 * 32 * 4)


def test_shards_share_the_work():
    spread = DEMO.model_copy(update={"shards": 4, "feature_shards": 8, "evaluation_shards": 2})

    def work(rule, config):
        return plan.work_of(Job(rule, PLACE), config, lambda *_: TASK)

    for rule, count in (("match_features", 4), ("extract_features", 8), ("extract_quantized", 2)):
        one, whole = work(rule, spread), work(rule, DEMO)
        assert (count * one.flops, count * one.bytes) == (whole.flops, whole.bytes)
    elsewhere = 2 * work("extract_quantized", spread).flops
    assert work("evaluate_images", spread).flops + elsewhere == pytest.approx(work("evaluate_images", DEMO).flops)


@pytest.mark.parametrize("rule", plan.HELD)
def test_memory_grows_with_the_data_and_is_shared_by_shards(rule):
    whole = DEMO.model_copy(update={"attacks": PAPER.attacks})  # EMN on all images

    def memory(factor, **changes):
        task = Task(factor * 5000, factor * 2000, 32, 10, 128, 1e7)
        return plan.memory_of(Job(rule, PLACE), whole.model_copy(update=changes), lambda *_: task)

    assert memory(1) > 1e6
    assert memory(2) == pytest.approx(2 * memory(1))
    shards = {"match_features": "shards", "extract_features": "feature_shards", "extract_quantized": "evaluation_shards"}
    if rule in shards:
        assert 4 * memory(1, **{shards[rule]: 4}) == pytest.approx(memory(1))


def test_every_rule_that_computes_says_what_it_holds():
    assert set(plan.COSTS) <= set(plan.HELD)


def test_memory_of_a_matching_is_what_its_formula_says():
    n = 150
    assert plan.memory_of(Job("match_features", PLACE), DEMO, lambda *_: TASK) == n * (6 * 3 * 32 * 32 + 4 * 128) * 4
    assert plan.memory_of(Job("render_table", {}), DEMO, lambda *_: TASK) == 0
    pretraining = Job("pretrain_encoder", {"encoder": "simclr-resnet18-cifar10"})  # on the data set that the configuration names
    assert plan.memory_of(pretraining, PAPER, lambda dataset, _: {"cifar10": TASK}[dataset]) == TASK.train * TASK.image_bytes


def test_work_adds_up_by_rule():
    jobs = [Job("match_features", PLACE)] * 3 + [Job("render_table", {})]
    table = plan.by_rule(jobs, DEMO, lambda *_: TASK)
    assert table["render_table"] == (1, Work())
    assert table["match_features"][1].flops == pytest.approx(3 * plan.work_of(jobs[0], DEMO, lambda *_: TASK).flops)


def test_the_program_counts_the_jobs_of_a_table():
    command = [sys.executable, "scripts/plan_cost.py", "--configfile", "workflow/config/demo.yaml", "figures/demo/table3.csv"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    assert int(lines["match_features"][1]) == len(DEMO.poison_seeds) * 2 * DEMO.shards
    assert float(lines["match_features"][2]) > 0
    assert float(lines["total"][4]) > 0
