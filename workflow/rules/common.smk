# All Python of the graph: paths, wildcard sets, code inputs, settings of each rule, validation.

import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from featpoison import config as configuration
from featpoison import provenance

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
CLEAN_HEADS = "data/heads/{dataset}/{encoder}/clean.h5"
TARGET = "data/targets/{dataset}/{encoder}/{target}.h5"
POISONED_FEATURES = "data/poisoned_features/{dataset}/{encoder}/gc-feature/eps{budget}-seed{seed}.h5"
PAIRS = "data/pairs/{dataset}/{encoder}/gc-feature/eps{budget}-seed{seed}.h5"
POISONS = "data/poisons/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.h5"
POISON_SHARD = "data/poisons/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.shards/{scatteritem}.h5"
VICTIMS = "data/victims/{dataset}/{encoder}/{attack}/eps{budget}.h5"
PUBLISHED = "data/published/published_results.csv"
OUTPUT = CONFIG.output

TABLE_FORMATS = ["csv", "tex", "pdf", "png"]
FIGURE_FORMATS = ["pdf", "png"]
# What a figure needs to be a target: methods that have a rule, and keys of `figures` that have a value.
FIGURES = {
    "figure1": (["feature-matching"], []),
    "figure2": (["gc-input"], []),
    "figure3": (["gc-feature", "feature-matching"], []),
    "figure5": (["feature-matching"], []),
    "figure6": (["feature-matching"], []),
    "figure7": (["feature-matching"], ["transfer"]),
    "figure9": (["feature-matching"], []),
}
# Where the poisons of an attack lie; a method that is neither here nor a target head has no rule yet.
POISONS_OF = {"gc-feature": POISONED_FEATURES, "feature-matching": POISONS}
TARGETS = ["gradpc-feature", "gradpc-input"]
ATTACK_TARGET = "gradpc-feature"


# Downloads need the network and the rest is over at once: not worth a cluster job.
localrules:
    fetch_dataset,
    import_encoder,
    describe_encoder,
    gather_shards,
    collect_table,
    render_table,
    plot_threat_model,
    plot_input_poisons,
    plot_stages,
    plot_poisons,
    plot_magnitudes,
    plot_anomalies,
    plot_perturbations,
    judge_claims,


scattergather:
    match=CONFIG.shards,


def one_of(names):
    """A pattern that matches just these names; none of them: nothing."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    dataset=one_of(CONFIG.datasets),
    encoder=one_of(CONFIG.encoders),
    target=one_of(TARGETS),
    attack=r"[a-z][a-z0-9.-]*",
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


def simclr_settings(wildcards):
    return CONFIG.encoders[wildcards.encoder].pretraining.simclr.model_dump_json()


def matching_settings(wildcards):
    update = {"beta": float(wildcards.beta)}
    return CONFIG.attacks.feature_matching.model_copy(update=update).model_dump_json()


GRADPC_SETTINGS = CONFIG.attacks.gradpc.model_dump_json()
CANCELING_SETTINGS = CONFIG.attacks.gradient_canceling.model_dump_json()
VICTIM_SETTINGS = CONFIG.victims.model_dump_json()


# Resources: what GPU rules ask for; the same rules run without a GPU where the configuration says so.

GPU = 1 if CONFIG.gpu else 0


def growing_memory(gigabytes):
    """Megabytes that double with each attempt: a job killed for memory is tried again with more."""

    def megabytes(wildcards, attempt):
        return int(gigabytes * 1000 * 2 ** (attempt - 1))

    return megabytes


def growing_minutes(minutes):
    """Minutes that double with each attempt."""

    def runtime(wildcards, attempt):
        return int(minutes * 2 ** (attempt - 1))

    return runtime


# Wildcard sets and input functions.

PRETRAINED = [name for name, entry in CONFIG.encoders.items() if entry.pretraining]
IMPORTED = [name for name, entry in CONFIG.encoders.items() if entry.weights]


def embedded_archive(wildcards):
    """The archive where it lies in the repository; a download is no input of the graph."""
    return CONFIG.datasets[wildcards.dataset].archive.path or []


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


def result_file(scenario, row, budget):
    """Where the numbers of a table's cell come from."""
    if row.method in TARGETS:
        return scenario_paths(TARGET, scenario, target=row.method)
    return scenario_paths(VICTIMS, scenario, attack=attack_name(row), budget=number(budget))


def has_rule(row):
    return row.method in TARGETS or row.method in POISONS_OF


def table_cells(wildcards):
    """The cells of a table, as the program wants them: [method, beta, eps_d, result file]."""
    table = CONFIG.tables[wildcards.table]
    return [
        [row.method, row.beta, budget, result_file(table.scenario, row, budget)]
        for row in table.rows
        if has_rule(row)
        for budget in table.budgets
    ]


def table_cells_json(wildcards):
    return provenance.canonical_json(table_cells(wildcards))


def table_results(wildcards):
    return sorted({cell[3] for cell in table_cells(wildcards)})


def table_victims(wildcards):
    """The result files of retrained victims."""
    return sorted({cell[3] for cell in table_cells(wildcards) if cell[0] not in TARGETS})


def table_clean_heads(wildcards):
    return scenario_paths(CLEAN_HEADS, CONFIG.tables[wildcards.table].scenario)


def table_target(wildcards):
    return scenario_paths(TARGET, CONFIG.tables[wildcards.table].scenario, target=ATTACK_TARGET)


def missing_methods(wildcards):
    """Methods of a table that have no rule yet."""
    rows = CONFIG.tables[wildcards.table].rows
    return sorted({row.method for row in rows if not has_rule(row)})


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


def shown_images(wildcards):
    return scenario_paths(IMAGES, CONFIG.figures.scenario)


def can_be_made(figure):
    """Whether the graph has what a figure shows."""
    methods, keys = FIGURES[figure]
    return all(method in POISONS_OF for method in methods) and all(getattr(CONFIG.figures, key) for key in keys)


def evidence(wildcards):
    """What the claims are judged on: the shared files of each scenario of a table, and the result files of all tables' cells."""
    scenarios = sorted({table.scenario for table in CONFIG.tables.values()})
    shared = {"features": FEATURES, "clean": CLEAN_HEADS, "target": TARGET}
    return {
        "scenarios": {
            scenario: {
                name: scenario_paths(pattern, scenario, target=ATTACK_TARGET) for name, pattern in shared.items()
            }
            for scenario in scenarios
        },
        "results": [
            [table.scenario, row.method, row.beta, budget, result_file(table.scenario, row, budget)]
            for table in CONFIG.tables.values()
            for row in table.rows
            if has_rule(row)
            for budget in table.budgets
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
