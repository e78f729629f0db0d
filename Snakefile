from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

if Path.cwd() != Path(workflow.basedir).resolve():
    raise WorkflowError(
        f"started in {Path.cwd()}, expected the repository: add --directory {workflow.basedir}"
    )

if not workflow.overwrite_configfiles:

    configfile: "workflow/config/paper.yaml"


report: "workflow/report/findings.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/images.smk"
include: "workflow/rules/pretraining.smk"
include: "workflow/rules/encoders.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/heads.smk"
include: "workflow/rules/targets.smk"
include: "workflow/rules/poisoned_features.smk"
include: "workflow/rules/decoders.smk"
include: "workflow/rules/poisons.smk"
include: "workflow/rules/victims.smk"
include: "workflow/rules/emn.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/defences.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/ablation.smk"
include: "workflow/rules/transfer.smk"


rule all:
    default_target: True
    input:
        TABLES.table_files,
        SHOWN.figure_files,
        TABLES.claim_files,
        PRETRAINING.files,
        ABLATION.files,
        TRANSFER.files,
        DEFENCES.files,
