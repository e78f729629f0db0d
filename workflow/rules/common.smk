# The configuration and its graph, given to Snakemake: local rules, scatter, wildcards and resources. What is
# plain Python stands in scripts/featpoison/graph/ and costs/resources.py, where it is typed and tested.

import os
import sys
from pathlib import Path

from snakemake.io import is_flagged

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from featpoison import config as configuration
from featpoison.attacks import choices
from featpoison.attacks import names as attacks
from featpoison.audit import users
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
from featpoison.records import provenance

try:
    CONFIG = configuration.parse(config, "configuration")
except configuration.ConfigError as error:
    raise WorkflowError(str(error))

STEPS, TABLES, SHOWN = Steps(CONFIG), Tables(CONFIG), Figures(CONFIG)
PRETRAINING = PretrainingTables(CONFIG)
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


def quantized_option(wildcards, input):
    return ["--quantized", *input.quantized] if input.quantized else []


# A plan that would replace what another configuration made with other settings stops, dry or not. It is known
# when Snakemake has built it; jobs of a plan that is under way are not asked again.
USER = " + ".join(provenance.relative(Path(name)) for name in workflow.configfiles)
build_plan = workflow._build_dag


def build_and_check_plan():
    build_plan()
    if workflow.is_main_process and not (workflow.touch or CONFIG.replace):
        planned = {
            str(path): [*map(str, job.input)] for job in workflow.dag.needrun_jobs() for path in job.output
        }
        try:
            users.check(STEPS, USER, planned)
        except users.InUse as error:
            raise WorkflowError(str(error))


workflow._build_dag = build_and_check_plan


onstart:
    users.enlist(
        USER,
        [str(path) for job in workflow.dag.jobs for path in job.output if not is_flagged(path, "temp")],
        (
            [str(path) for job in workflow.dag.needrun_jobs() for path in job.output]
            if CONFIG.replace
            else []
        ),
    )


announce(workflow, PLANNED)
