"""The plan's costs against a count of our own, and against what has to scale with what."""

import re

import pytest
import torch
from featpoison.attacks import names
from featpoison.attacks.choices import Choice
from featpoison.attacks.operations import Sizes, Work
from featpoison.config import load
from featpoison.costs import plan, rates
from featpoison.costs.plan import PlannedJob
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.encoder import Encoder
from helpers import ROOT, ran
from torch import nn

DEMO, PAPER = (load(ROOT / f"workflow/config/{name}.yaml") for name in ("demo", "paper"))
SIZES = Sizes(train=5000, test=2000, side=32, classes=10, features=128, forward=1e7)
PLACE = {"dataset": "cifar10-5k", "encoder": "embedded-simclr-cifar10", "budget": "0.03", "seed": "0"}
PLACE |= {"attack": "gc-input_free_gradpc-feature", "defence": "none", "pairing": "all"}
MATCHING = PLACE | {"attack": "feature-matching_free_beta0.25_gradpc-feature"}
COPIES = 150 * 3 * 32 * 32 * 4
UNCOUNTED = dict.fromkeys(("gradpc-feature", "gradpc-minibatch", "reachable", "permuted", "random-step"), 0)
UNCOUNTED |= {"mislabelled-random": COPIES, "mislabelled-next": COPIES}
"""The bytes of attacks whose arithmetic is next to nothing: gradients of the head, passes over logits, or
none."""
NOISE = tuple(names.making("noise"))
RULES = {
    "target": "make_target_head",
    "features": "poison_features",
    "images": "poison_images",
    "noise": "make_emn_noise",
}
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


def job_of(name):
    """The job that runs an attack with its usual choices."""
    attack = names.load(name)
    if attack.makes == "target":
        rule = "make_target_head_of_budget" if attack.by_budget else "make_target_head"
        return PlannedJob(rule, {**PLACE, "target": name})
    usual = attack.default_cap or (attack.sets[0] if attack.sets else None)
    beta = 0.25 if attack.has_beta else None
    target = "gradpc-feature" if names.is_targeted(name) else None
    segment = Choice(method=name, set=usual, beta=beta, target=target).segment
    return PlannedJob(RULES[attack.makes], PLACE | {"attack": segment})


every_attack = pytest.mark.parametrize("name", names.load_all())


def sizes(train):
    return Sizes(train, 2 * train // 5, 32, 10, 128, 1e7)


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
        PlannedJob("fetch_dataset", {"dataset": "a"}),
        PlannedJob("gather_shards", {"dataset": "a", "encoder": "b", "budget": "0.03", "seed": "1"}),
        PlannedJob("all", {}),
    ]


@every_attack
def test_a_job_knows_its_attack(name):
    assert job_of(name).attack is names.load(name)
    assert PlannedJob("extract_features", {"dataset": "a", "encoder": "b"}).attack is None


def bigger_training_sets_cost_more(job, config):
    def work(train):
        return plan.work_of(job, config, lambda *_: sizes(train))

    small, large = work(5000), work(10_000)
    assert small.flops + small.double_flops > 0
    assert large.flops + large.double_flops > 1.4 * (small.flops + small.double_flops)


@every_attack
def test_every_attack_costs_something_and_grows_with_the_training_set(name):
    if name in UNCOUNTED:
        assert plan.work_of(job_of(name), DEMO, lambda *_: SIZES) == Work(bytes=UNCOUNTED[name])
        return
    whole = DEMO.model_copy(update={"attacks": PAPER.attacks})  # EMN on all images
    bigger_training_sets_cost_more(job_of(name), whole)


OF_AN_ENCODER = ("pretrain_encoder", "pretrain_in_stages", "poison_pretraining", "screen_pretraining")
"""Rules whose data set is not in their path."""
STAGES = [rule for rule in plan.WORK if rule not in (*OF_AN_ENCODER, "evaluate_emn")]


@pytest.mark.parametrize("rule", STAGES)
def test_every_stage_costs_something_and_grows_with_the_training_set(rule):
    bigger_training_sets_cost_more(PlannedJob(rule, PLACE), DEMO)


def test_pretraining_grows_with_its_images():
    job = PlannedJob("pretrain_encoder", {"encoder": "simclr-resnet18-cifar10"})
    bigger_training_sets_cost_more(job, PAPER)


POISONING = load(ROOT / "workflow/config/poisoned-encoder-paper.yaml")


def liu(name, rule="pretrain_encoder"):
    """A job of the second publication's plan."""
    return PlannedJob(rule, {"encoder": f"liu2022-{name}"})


def test_pretraining_costs_two_views_of_every_image_that_it_sees():
    """Poisons are images too, and a subset leaves some out; three passes' worth a view."""
    epochs = {"clean": 800, "poisoned-0": 800, "bag-1": 800, "tuned-5000": 100, "screened": 800}
    images = {"clean": 5000, "poisoned-0": 5050, "bag-1": 20_000, "tuned-5000": 5000, "screened": 4545}
    for name, count in images.items():
        expected = epochs[name] * count * 2 * 3 * SIZES.forward
        assert plan.work_of(liu(name), POISONING, lambda *_: SIZES) == Work(expected), name
    stages = liu("poisoned-0", "pretrain_in_stages")
    assert plan.work_of(stages, POISONING, lambda *_: SIZES) == plan.work_of(
        liu("poisoned-0"), POISONING, lambda *_: SIZES
    )


def test_poisons_are_held_beside_the_images():
    clean, poisoned = (
        plan.memory_of(liu(name), POISONING, lambda *_: SIZES) for name in ("clean", "poisoned-0")
    )
    assert poisoned - clean == 50 * 2 * 3 * 32 * 32 * 4
    for name, rule in (
        ("poisoned-0", "poison_pretraining"),
        ("references-alone", "poison_pretraining"),
        ("screened", "screen_pretraining"),
    ):
        job = liu(name, rule)
        small, large = (plan.memory_of(job, POISONING, lambda *_, n=n: sizes(n)) for n in (5000, 10_000))
        assert 0 < small < large


def test_a_screening_costs_a_pass_of_each_image_and_a_cosine_of_each_pair():
    found = plan.work_of(liu("screened", "screen_pretraining"), POISONING, lambda *_: SIZES)
    assert found == Work(5050 * SIZES.forward + 2 * 5050 * 5050 * SIZES.features)


def test_a_snapshot_has_the_architecture_of_its_training():
    places = ("cifar10", "liu2022-stopped-100"), ("cifar10", "liu2022-poisoned-0")
    one, other = (plan.sizes_of(POISONING, *place) for place in places)
    assert one == other


@pytest.mark.parametrize("rule", ["make_emn_noise", "evaluate_emn"])
@pytest.mark.parametrize("variant", NOISE)
def test_emn_costs_something(rule, variant):
    assert plan.work_of(PlannedJob(rule, PLACE | {"attack": variant}), DEMO, lambda *_: SIZES).flops > 0


def test_matching_costs_what_its_formula_says():
    n, steps = 150, DEMO.attacks.feature_matching.steps
    expected = Work(n * steps * 2 * 1e7, 0, n * 3 * 32 * 32 * 4)
    assert plan.work_of(PlannedJob("poison_images", MATCHING), DEMO, lambda *_: SIZES) == expected


def test_features_cost_what_their_formulas_say():
    """Five products of n x d x C operations, two each, in every step of an optimiser; of the exact
    attack forty Hessian products of two such products over all rows and the bias."""
    n, gc, exact = 150, DEMO.attacks.gc_feature, DEMO.attacks.exact_feature
    found = plan.work_of(job_of("gc-feature"), DEMO, lambda *_: SIZES)
    assert gc.optimizer == "l-bfgs"
    assert found == Work(0, gc.iterations * 5 * 2 * n * 128 * 10, n * 128 * 4)
    found = plan.work_of(job_of("exact-feature"), DEMO, lambda *_: SIZES)
    assert found == Work(0, exact.epochs * 40 * 2 * 2 * (5000 + n) * 129 * 10, n * 128 * 4)


def test_hours_are_those_of_the_two_peaks_together():
    work = Work(flops=3.6e15, double_flops=7.2e13)
    assert work.hours(peak=1e12, double_peak=1e11, efficiency=0.5) == pytest.approx(2 * (1.0 + 0.2))
    assert Work(1, 2, 3) + Work(10, 20, 30) == Work(11, 22, 33)


def test_shards_share_the_work():
    spread = DEMO.model_copy(update={"shards": 4, "feature_shards": 8, "evaluation_shards": 2})

    def work(rule, config, place=PLACE):
        return plan.work_of(PlannedJob(rule, place), config, lambda *_: SIZES)

    for rule, count in (("extract_features", 8), ("extract_quantized", 2)):
        one, whole = work(rule, spread), work(rule, DEMO)
        assert (count * one.flops, count * one.bytes) == (whole.flops, whole.bytes)
    one, whole = work("poison_shard", spread, MATCHING), work("poison_images", DEMO, MATCHING)
    assert (4 * one.flops, 4 * one.bytes) == (whole.flops, whole.bytes)
    # Attacks whose rows are not independent.
    assert work("poison_images", spread) == work("poison_images", DEMO)
    elsewhere = 2 * work("extract_quantized", spread).flops
    together = work("evaluate_attack", spread).flops + elsewhere
    assert together == pytest.approx(work("evaluate_attack", DEMO).flops)


def test_only_images_have_8_bit_copies_to_evaluate():
    """Twice as many training sets, and the pass of each poison through the encoder."""
    images, features = (
        plan.work_of(PlannedJob("evaluate_attack", PLACE | {"attack": segment}), DEMO, lambda *_: SIZES)
        for segment in ("gc-input_free_gradpc-feature", "gc-feature_free_gradpc-feature")
    )
    assert images.double_flops == 2 * features.double_flops
    assert images.flops - 2 * features.flops == len(DEMO.poison_seeds) * 150 * 1e7


JOBS = {
    rule: PlannedJob(rule, PLACE | {"attack": "emn-input"} if "emn" in rule else PLACE)
    for rule in plan.MEMORY
}
JOBS |= {name: job_of(name) for name in names.load_all()}
JOBS |= {"poison_shard": PlannedJob("poison_shard", MATCHING)}


@pytest.mark.parametrize("name", [name for name in JOBS if name not in OF_AN_ENCODER])
def test_memory_grows_with_the_data_and_is_shared_by_shards(name):
    whole = DEMO.model_copy(update={"attacks": PAPER.attacks})  # EMN on all images

    def memory(factor, **changes):
        return plan.memory_of(JOBS[name], whole.model_copy(update=changes), lambda *_: sizes(factor * 5000))

    assert memory(1) > 1e6
    assert memory(2) == pytest.approx(2 * memory(1))
    shards = {"poison_shard": "shards", "extract_features": "feature_shards"}
    shards |= {"extract_quantized": "evaluation_shards"}
    if name in shards:
        assert 4 * memory(1, **{shards[name]: 4}) == pytest.approx(memory(1))


def test_every_rule_that_computes_says_what_it_holds():
    assert set(plan.WORK) <= set(plan.MEMORY)
    assert not set(plan.WORK) & set(plan.ATTACK_RULES)
    assert set(RULES.values()) <= set(plan.ATTACK_RULES)


def test_memory_of_a_matching_is_what_its_formula_says():
    n = 150
    expected = n * (6 * 3 * 32 * 32 + 4 * 128) * 4
    assert plan.memory_of(PlannedJob("poison_images", MATCHING), DEMO, lambda *_: SIZES) == expected
    assert plan.memory_of(PlannedJob("render_table", {}), DEMO, lambda *_: SIZES) == 0
    # On the data set that the configuration names.
    pretraining = PlannedJob("pretrain_encoder", {"encoder": "simclr-resnet18-cifar10"})
    known = plan.memory_of(pretraining, PAPER, lambda dataset, _: {"cifar10": SIZES}[dataset])
    assert known == 5000 * 3 * 32 * 32 * 4


def test_work_adds_up_by_rule_and_attack():
    matching, canceling = PlannedJob("poison_images", MATCHING), PlannedJob("poison_images", PLACE)
    jobs = [matching] * 3 + [canceling, PlannedJob("render_table", {})]
    table = plan.by_rule(jobs, DEMO, lambda *_: SIZES)
    assert table["render_table"] == (1, Work())
    count, work = table["poison_images feature-matching"]
    assert (count, table["poison_images gc-input"][0]) == (3, 1)
    assert work.flops == pytest.approx(3 * plan.work_of(matching, DEMO, lambda *_: SIZES).flops)


def planned(*arguments, config="demo", **environment):
    files = (f"workflow/config/{name}.yaml" for name in config.split())
    return ran("scripts/plan_cost.py", "--configfile", *files, *arguments, **environment)


@pytest.mark.slow
def test_an_unknown_target_is_an_error_that_names_it():
    done = planned("--", "figures/demo/table3.csv", "figures/demo/nonsense.csv")
    assert done.returncode == 1
    assert "No rule to produce figures/demo/nonsense.csv" in done.stderr
    assert not done.stdout


@pytest.mark.slow
def test_a_plan_takes_files_that_lie_over_one_another_as_snakemake_does():
    options = ("--speed", "1", "--", "figures/cifar10-small/table4.csv")
    done = planned(*options, config="cifar10 cifar10/small")
    assert done.returncode == 0, done.stderr
    assert "make_emn_noise" in done.stdout


@pytest.mark.slow
def test_hours_are_a_gpus_or_a_cores_as_the_configuration_says():
    options = ("--steps", "--speed", "1", "--", "figures/demo/table3.csv")
    warm, cold = (planned(*options, FEATPOISON_WARM=value).stdout for value in ("1", "0"))
    gpu = planned("--steps", "--", "figures/table3.csv", config="paper").stdout
    assert "GPU hours" in gpu.splitlines()[0]
    assert "core hours" in warm.splitlines()[0]
    assert "forks of a warm interpreter" in warm
    assert f"start there in {rates.COLD_START:g} s" in cold
    hours = [float(text.splitlines()[-2].split()[4]) for text in (warm, cold)]
    jobs = int(warm.splitlines()[-2].split()[1])
    expected = jobs * (rates.COLD_START - rates.WARM_START) / 3600
    assert hours[1] - hours[0] == pytest.approx(expected, rel=0.05)


@pytest.mark.slow
def test_the_program_counts_the_jobs_of_a_table():
    done = planned("--steps", "--speed", "1", "--", "figures/demo/table3.csv")
    assert done.returncode == 0, done.stderr
    lines = {line[:30].strip(): line[30:].split() for line in done.stdout.splitlines()}
    jobs, flops, _, hours, _ = lines["poison_images feature-matching"]
    assert int(jobs) == len(DEMO.poison_seeds) * 2 * DEMO.shards
    assert float(flops) > 0
    assert float(hours) > 0
    assert float(lines["total"][3]) > 0


@pytest.mark.slow
def test_without_options_a_plan_is_a_few_lines_and_names_its_largest_steps():
    done = planned("--", "figures/demo/table3.csv")
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert re.fullmatch(r"\d+ jobs, [\d.e-]+ core hours", first)
    assert len(lines) < 10
    assert any("poison_images feature-matching: " in line for line in lines)
    assert "nanobind" not in done.stdout + done.stderr
