# All Python of the graph: paths, wildcard sets, code inputs, settings of each rule, validation.

import math
import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from featpoison import config as configuration
from featpoison.records import provenance

try:
    CONFIG = configuration.parse(config, "configuration")
except configuration.ConfigError as error:
    raise WorkflowError(str(error))

# Paths: a path says what a file is.
ARCHIVES = "data/downloads"
IMAGES = "data/images/{dataset}.h5"
ENCODER = "data/encoders/{encoder}.safetensors"
ENCODER_FACTS = "data/encoders/{encoder}.on-{dataset}.json"
FEATURES = "data/features/{dataset}/{encoder}.h5"
FEATURE_SHARD = "data/features/{dataset}/{encoder}.shards/{scatteritem}.h5"
CLEAN_HEADS = "data/heads/{dataset}/{encoder}/clean.h5"
TARGET = "data/targets/{dataset}/{encoder}/{target}.h5"
POISONED_FEATURES = "data/poisoned_features/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.h5"
PAIRS = "data/pairs/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.h5"
POISONS = "data/poisons/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.h5"
POISON_SHARD = "data/poisons/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.shards/{scatteritem}.h5"
UNLEARNABLE = "data/unlearnable/{dataset}/{encoder}/{variant}/seed{seed}.h5"
DECODER = "data/decoders/{dataset}/{encoder}/{kind}.safetensors"
RECONSTRUCTIONS = "data/reconstructions/{dataset}/{encoder}.h5"
QUANTIZED_SHARD = "data/victims/{dataset}/{encoder}/{attack}/eps{budget}.shards/{scatteritem}.h5"
VICTIMS = "data/victims/{dataset}/{encoder}/{attack}/eps{budget}.h5"
PUBLISHED = "data/published/published_results.csv"
OUTPUT = CONFIG.output

TABLE_FORMATS = ["csv", "tex", "pdf", "png"]
FIGURE_FORMATS = ["pdf", "png"]
# The figures and the keys of `figures` that have to be set for them.
FIGURES = {
    "figure1": [],
    "figure2": [],
    "figure3": [],
    "figure4": [],
    "figure5": [],
    "figure6": [],
    "figure7": ["transfer"],
    "figure8": ["unlearnable"],
    "figure9": [],
    "figure10": ["examples"],
}
# Attacks by what they make, and where it lies.
FEATURE_ATTACKS = ["gc-feature", "exact-feature"]
IMAGE_ATTACKS = [
    "decoder-inversion",
    "tgda-input",
    "tgda-input-constrained",
    "gc-input",
    "gc-input-constrained",
    "feature-matching",
    "feature-matching-r",
    "exact-input",
    "exact-input-constrained",
    "exact-feature-matching",
]
POISONS_OF = dict.fromkeys(FEATURE_ATTACKS, POISONED_FEATURES) | dict.fromkeys(IMAGE_ATTACKS, POISONS)
# Feature matching by the attack whose features it matches; pairing keeps within a class where labels are part of the attack.
MATCHING_OF = {"gc-feature": "feature-matching", "exact-feature": "exact-feature-matching"}
EMN_VARIANTS = ["original", "end-to-end", "input"]
PAIRING_OPTIONS = {"gc-feature": "", "exact-feature": "--within-class"}
TARGETS = ["gradpc-feature", "gradpc-input"]
ATTACK_TARGET = "gradpc-feature"
DECODER_KINDS = ["plain", "end-to-end", "skip"]


GENEROUS = 6  # times the planned time: small encoders use a twentieth of a GPU, and an estimate that is too short costs a restart


# Downloads need the network and the rest is over at once: not worth a cluster job.
localrules:
    fetch_dataset,
    import_encoder,
    describe_encoder,
    gather_shards,
    collect_table,
    render_table,
    plot_reconstructions,
    plot_threat_model,
    plot_input_poisons,
    plot_stages,
    plot_poisons,
    plot_magnitudes,
    plot_anomalies,
    plot_perturbations,
    plot_unlearnable,
    plot_examples,
    judge_claims,


scattergather:
    match=CONFIG.shards,
    extract=CONFIG.feature_shards,
    quantize=CONFIG.evaluation_shards,


def one_of(names):
    """A pattern that matches just these names; none of them: nothing."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    dataset=one_of(CONFIG.datasets),
    encoder=one_of(CONFIG.encoders),
    target=one_of(TARGETS),
    kind=one_of(DECODER_KINDS),
    attack=r"(?!emn-)[a-z][a-z0-9.-]*",
    variant=one_of(EMN_VARIANTS),
    constrained="|-constrained",
    budget=r"\d+(\.\d+)?",
    seed=r"\d+",
    table=one_of(CONFIG.tables),
    figure=one_of(FIGURES),


def code(program):
    """A program and the modules that it imports: editing one of them reruns its rule."""
    closure = provenance.import_closure(provenance.SCRIPTS / program)
    return [provenance.relative(path) for path in closure]


def number(value):
    """A budget or beta as paths show it: 0.03, 1."""
    return f"{value:g}"


# Settings of each rule, as JSON: only what the step uses.


def dataset_settings(wildcards):
    return CONFIG.datasets[wildcards.dataset].model_dump_json()


def weights_settings(wildcards):
    return CONFIG.encoders[wildcards.encoder].weights.model_dump_json()


def conversion_option(wildcards):
    """What a foreign checkpoint is, for the command line; nothing for a file of this project."""
    conversion = CONFIG.encoders[wildcards.encoder].conversion
    return ["--conversion", conversion.model_dump_json()] if conversion else []


def simclr_settings(wildcards):
    return CONFIG.encoders[wildcards.encoder].pretraining.simclr.model_dump_json()


def matching_settings(wildcards):
    update = {"beta": float(wildcards.beta)}
    return CONFIG.attacks.feature_matching.model_copy(update=update).model_dump_json()


def constrained_settings(attack):
    """Settings of an attack in input space; the path says whether it is constrained."""

    def settings(wildcards):
        update = {"constrained": bool(wildcards.constrained)}
        return attack.model_copy(update=update).model_dump_json()

    return settings


def pairing_option(wildcards):
    return PAIRING_OPTIONS[wildcards.attack]


def pairs_to_match(wildcards):
    """The pairs that a feature matching works on."""
    attack = next(name for name, matching in MATCHING_OF.items() if matching == wildcards.matching)
    return PAIRS.format(**wildcards, attack=attack)


def unlearnable_victim_settings(wildcards):
    """Linear victims where the encoder is frozen, whole networks elsewhere."""
    victims = CONFIG.victims if wildcards.variant == "input" else CONFIG.network_victims
    return victims.model_dump_json()


EMN_SETTINGS = CONFIG.attacks.emn.model_dump_json()
GRADPC_SETTINGS = CONFIG.attacks.gradpc.model_dump_json()
CANCELING_SETTINGS = CONFIG.attacks.gradient_canceling.model_dump_json()
EXACT_SETTINGS = CONFIG.attacks.exact_feature.model_dump_json()
DECODER_SETTINGS = CONFIG.attacks.decoder_inversion.model_dump_json()
VICTIM_SETTINGS = CONFIG.victims.model_dump_json()
CONVERGED_SETTINGS = CONFIG.victims.converged.model_dump_json()


# Resources: what GPU rules ask for; the same rules run without a GPU where the configuration says so.

GPU = 1 if CONFIG.gpu else 0


@cache
def task_sizes(dataset, encoder):
    from featpoison.costs import plan

    return plan.task_of(CONFIG, dataset, encoder)


def gpu_minutes(rule, wildcards):
    """Minutes that a GPU is granted for the operations of `rule`, by the formulas of scripts/plan_cost.py."""
    from featpoison.costs import plan

    return GENEROUS * 60 * plan.work_of(plan.Job(rule, dict(wildcards.items())), CONFIG, task_sizes).hours()


def megabytes_held(rule, wildcards):
    """Megabytes of the arrays of `rule`, by the same formulas."""
    from featpoison.costs import plan

    return plan.memory_of(plan.Job(rule, dict(wildcards.items())), CONFIG, task_sizes) / 1e6


def growing_memory(gigabytes, rule=None):
    """Megabytes that double with each attempt, for a job that was killed for memory: a part for libraries, and the arrays of `rule`. Without
    GPUs, for small work, nothing is planned in advance: a guess."""

    def megabytes(wildcards, attempt):
        libraries = 1000 * gigabytes
        arrays = (megabytes_held(rule, wildcards) if CONFIG.gpu else libraries) if rule else 0
        return math.ceil((libraries + arrays) * 2 ** (attempt - 1))

    return megabytes


def growing_minutes(minutes, rule=None):
    """Minutes that double with each attempt: a fixed part, and on a GPU one by the work of `rule`."""

    def runtime(wildcards, attempt):
        work = gpu_minutes(rule, wildcards) if rule and CONFIG.gpu else 0
        return math.ceil((minutes + work) * 2 ** (attempt - 1))

    return runtime


# Wildcard sets and input functions.

PRETRAINED = [name for name, entry in CONFIG.encoders.items() if entry.pretraining]
IMPORTED = [name for name, entry in CONFIG.encoders.items() if entry.weights]


def embedded_archive(wildcards):
    """The archive where it lies in the repository, the images of a folder; a download is no input of the graph."""
    return CONFIG.datasets[wildcards.dataset].local_files


def embedded_weights(wildcards):
    """The weights where they lie in the repository."""
    return CONFIG.encoders[wildcards.encoder].weights.path or []


def pretraining_images(wildcards):
    return IMAGES.format(dataset=CONFIG.encoders[wildcards.encoder].pretraining.dataset)


def scenario_paths(pattern, scenario, **wildcards):
    """A path of a scenario's data set and encoder."""
    chosen = CONFIG.scenarios[scenario]
    return pattern.format(dataset=chosen.dataset, encoder=chosen.encoder, **wildcards)


def attack_name(row):
    """The attack's folder: the method, with beta where it has one."""
    return row.method if row.beta is None else f"{row.method}-beta{number(row.beta)}"


def poison_files(wildcards):
    """The poisons of all seeds of one attack and budget."""
    method = wildcards.attack.partition("-beta")[0]
    return [POISONS_OF[method].format(**wildcards, seed=seed) for seed in CONFIG.poison_seeds]


def quantized_shards(wildcards):
    """The features of the 8-bit images, where they are spread over jobs."""
    return gather.quantize(QUANTIZED_SHARD, **wildcards) if CONFIG.evaluation_shards > 1 else []


def quantized_option(wildcards, input):
    return f"--quantized {input.quantized}" if input.quantized else ""


def unlearnable_noise(wildcards):
    """The noise of all poison seeds of one variant."""
    return expand(UNLEARNABLE, seed=CONFIG.poison_seeds, **wildcards)


def result_file(scenario, row, budget):
    """Where the numbers of a table's cell come from."""
    if row.method in TARGETS:
        return scenario_paths(TARGET, scenario, target=row.method)
    return scenario_paths(VICTIMS, row.scenario or scenario, attack=attack_name(row), budget=number(budget))


def method_name(scenario, row):
    """The method as the published results name it: EMN's with the row's scenario."""
    return f"{row.method}/{row.scenario or scenario}" if row.perturbs_all else row.method


def table_cells(wildcards):
    """The cells of a table, as the program wants them: [method, beta, eps_d, result file]."""
    table = CONFIG.tables[wildcards.table]
    return [
        [method_name(table.scenario, row), row.beta, budget, result_file(table.scenario, row, budget)]
        for row in table.rows
        for budget in table.budgets
    ]


def table_cells_json(wildcards):
    return provenance.canonical_json(table_cells(wildcards))


def table_results(wildcards):
    return sorted({cell[3] for cell in table_cells(wildcards)})


def table_victims(wildcards):
    """The result files of retrained victims."""
    return sorted({cell[3] for cell in table_cells(wildcards) if cell[0] not in TARGETS})


def all_perturbed(wildcards):
    """Whether a table has rows of EMN alone, which bring their own clean accuracy and have no target."""
    return all(row.perturbs_all for row in CONFIG.tables[wildcards.table].rows)


def table_clean_heads(wildcards):
    if all_perturbed(wildcards):
        return []
    return scenario_paths(CLEAN_HEADS, CONFIG.tables[wildcards.table].scenario)


def table_target(wildcards):
    if all_perturbed(wildcards):
        return []
    return scenario_paths(TARGET, CONFIG.tables[wildcards.table].scenario, target=ATTACK_TARGET)


SHOWN_SCENARIOS = [name for name in (CONFIG.figures.scenario, CONFIG.figures.transfer) if name]


def first_poisons(scenario, attack):
    """The poisons that figures show: those of the first seed at the figures' budget."""
    budget = number(CONFIG.figures.budget)
    return scenario_paths(POISONS, scenario, attack=attack, budget=budget, seed=CONFIG.poison_seeds[0])


def shown_poisons(wildcards):
    """Poisons of feature matching, one file per beta."""
    figures = CONFIG.figures
    return [first_poisons(figures.scenario, f"feature-matching-beta{number(beta)}") for beta in figures.betas]


def transfer_poisons(wildcards):
    """The same in the transfer scenario, where the configuration names one."""
    figures = CONFIG.figures
    betas = figures.transfer_betas if figures.transfer else []
    return [first_poisons(figures.transfer, f"feature-matching-beta{number(beta)}") for beta in betas]


def input_poisons(wildcards):
    """Poisons of gradient canceling in input space, without constraints."""
    return first_poisons(CONFIG.figures.scenario, "gc-input")


def shown_product(pattern, **known):
    """An input function: a product of the figures' scenario, at their budget and of the first seed where the path has these."""

    def path(wildcards):
        budget = number(CONFIG.figures.budget)
        return scenario_paths(pattern, CONFIG.figures.scenario, budget=budget, seed=CONFIG.poison_seeds[0], **known)

    return path


def first_shown(wildcards):
    """Poisons of feature matching at the first beta."""
    return shown_poisons(wildcards)[0]


def first_shown_victims(wildcards):
    """The result file of these poisons."""
    attack = f"feature-matching-beta{number(CONFIG.figures.betas[0])}"
    return shown_product(VICTIMS, attack=attack)(wildcards)


def transfer_images(wildcards):
    return scenario_paths(IMAGES, CONFIG.figures.transfer)


def example_images(wildcards):
    return scenario_paths(IMAGES, CONFIG.figures.examples)


def shown_images(wildcards):
    return scenario_paths(IMAGES, CONFIG.figures.scenario)


def unlearnable_images(wildcards):
    return [scenario_paths(IMAGES, name) for name in CONFIG.figures.unlearnable]


def shown_noise(wildcards):
    """EMN input-space noise of the first seed, one file per scenario of Figure 8."""
    seed = CONFIG.poison_seeds[0]
    return [scenario_paths(UNLEARNABLE, name, variant="input", seed=seed) for name in CONFIG.figures.unlearnable]


def shown_reconstructions(wildcards):
    return scenario_paths(RECONSTRUCTIONS, CONFIG.figures.scenario)


def can_be_made(figure):
    """Whether the configuration says what a figure shows."""
    return all(getattr(CONFIG.figures, key) for key in FIGURES[figure])


def evidence(wildcards):
    """What the claims are judged on: the shared files of each scenario of a table, and the result files of all tables' cells."""
    rows = [
        [row.scenario or table.scenario, row, budget]
        for table in CONFIG.tables.values()
        for row in table.rows
        for budget in table.budgets
    ]
    shared = {"features": FEATURES, "clean": CLEAN_HEADS, "target": TARGET}
    return {
        "scenarios": {
            scenario: {
                name: scenario_paths(pattern, scenario, target=ATTACK_TARGET) for name, pattern in shared.items()
            }
            for scenario in sorted({scenario for scenario, _, _ in rows})
        },
        "results": [
            [scenario, row.method, row.beta, budget, result_file(scenario, row, budget)]
            for scenario, row, budget in rows
        ],
    }


def evidence_json(wildcards):
    return provenance.canonical_json(evidence(wildcards))


def evidence_files(wildcards):
    found = evidence(wildcards)
    shared = {path for paths in found["scenarios"].values() for path in paths.values()}
    return sorted(shared | {result[4] for result in found["results"]})


TABLE_FILES = [f"{OUTPUT}/{table}.{form}" for table in CONFIG.tables for form in TABLE_FORMATS]
MADE_FIGURES = [figure for figure in FIGURES if CONFIG.tables and can_be_made(figure)]
FIGURE_FILES = [f"{OUTPUT}/{figure}.{form}" for figure in MADE_FIGURES for form in FIGURE_FORMATS]
CLAIM_FILES = [f"{OUTPUT}/claims.md"] if CONFIG.tables else []
