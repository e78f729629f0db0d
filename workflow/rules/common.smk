# The configuration and its graph, given to Snakemake: local rules, scatter, wildcards and resources. What is
# plain Python stands in scripts/featpoison/graph/ and costs/resources.py, where it is typed and tested.

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from featpoison import config as configuration
from featpoison.attacks import choices
from featpoison.attacks import names as attacks
from featpoison.audit import plan, reports
from featpoison.costs import resources as planned
from featpoison.costs.summary import announce
from featpoison.defences import names as defences
from featpoison.graph import interpreter
from featpoison.graph.figures import Figures
from featpoison.graph.paths import (
    ARCHIVES,
    CLEAN_HEADS,
    DECODER,
    DECODER_KINDS,
    DEFENDED,
    ENCODER,
    ENCODER_FACTS,
    FEATURE_SHARD,
    FEATURES,
    IMAGES,
    NOISE,
    NORMS,
    PAIRINGS,
    PAIRS,
    POISON_SHARD,
    POISONED_FEATURES,
    POISONS,
    PUBLISHED,
    QUANTIZED_SHARD,
    REACH,
    RECONSTRUCTIONS,
    TARGET,
    TARGET_OF_BUDGET,
    TRAJECTORY,
    VICTIMS,
    code,
    one_of,
    segments_making,
    segments_of,
)
from featpoison.graph.pretraining_tables import PretrainingTables
from featpoison.graph.steps import Steps
from featpoison.graph.tables import Tables

try:
    CONFIG, USER = configuration.of_files(workflow.configfiles, config)
except configuration.ConfigError as error:
    raise WorkflowError(str(error))

STEPS, TABLES, SHOWN, PRETRAINING = (of(CONFIG) for of in (Steps, Tables, Figures, PretrainingTables))
PLANNED = planned.Resources(CONFIG)
GPU, OUTPUT = PLANNED.gpu, CONFIG.output

interpreter.put_first()

# Programs run in forks of a warm interpreter, on this machine and never in a cluster's job. The call writes the
# benchmark file itself: Snakemake would measure the call, which only waits.
if os.environ.get("FEATPOISON_WARM") == "1" and sys.platform == "linux" and not workflow.remote_exec:
    shell.prefix('set -euo pipefail; python() {{ command python -I -S scripts/warm_python.py "$@"; }}; ')
    workflow.benchmark = lambda path: lambda rule: rule


# Downloads need the network and the rest is over at once: not worth a cluster job.
localrules:
    fetch_dataset,
    import_encoder,
    describe_encoder,
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
    plot_emn,
    plot_examples,
    plot_reach,
    plot_frontier,
    plot_growth,
    judge_claims,
    take_snapshot,
    collect_pretraining,
    render_pretraining,
    plot_success,
    plot_combinations,


scattergather:
    poison=CONFIG.shards,
    extract=CONFIG.feature_shards,
    quantize=CONFIG.evaluation_shards,


wildcard_constraints:
    dataset=one_of(CONFIG.datasets),
    encoder=one_of(CONFIG.encoders),
    kind=one_of(DECODER_KINDS),
    attack=choices.PATTERN,
    pairing=one_of(PAIRINGS),
    defence=one_of((defences.NONE, *defences.NAMES)),
    budget=choices.NUMBER,
    seed=r"\d+",
    table=one_of(CONFIG.tables),


def quantized_shards(wildcards):
    """The features of the 8-bit images, where they are spread over jobs."""
    spread = CONFIG.evaluation_shards > 1 and STEPS.attack(wildcards).makes == "images"
    return gather.quantize(QUANTIZED_SHARD, **wildcards) if spread else []


plan.watch(workflow, STEPS, USER, replace=CONFIG.replace)
announce(workflow, PLANNED)
reports.of_what_there_is(workflow)
