"""What is done with a plan of Snakemake between its building and the first job, in dry runs too.

Content decides what runs, under every profile: of large inputs, and of inputs that were put back with an old
time stamp. And a plan that would replace what another configuration made with other settings stops.
"""

from collections.abc import Iterable
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.io import is_flagged
from snakemake.logging import logger

from featpoison.audit import restored, users
from featpoison.graph.steps import Steps

Workflow = Any
"""Snakemake's own object, of which the parts used here have no types."""
LARGEST = 10**12
"""Bytes up to which Snakemake compares contents; its own limit is a megabyte."""


def watch(workflow: Workflow, steps: Steps, configuration: str, *, replace: bool) -> None:
    """Look at each plan that this process is about to show or to run, and list what it needs when it runs.

    `configuration` names the files of the configuration that `steps` are of. With `replace`, files of other
    configurations may be replaced.
    """
    build = workflow._build_dag

    def build_and_look() -> None:
        workflow.dag.max_checksum_file_size = workflow.persistence.max_checksum_file_size = LARGEST
        build()
        runs = workflow.executor_plugin is not None  # and no report, drawing or unlocking
        if not (runs and workflow.is_main_process) or workflow.touch:  # jobs are not asked again
            return
        _look_at_contents(workflow)
        try:
            if not replace:
                users.check(steps, configuration, _files(workflow.dag.needrun_jobs()))
        except users.InUse as error:
            raise WorkflowError(str(error)) from None
        if not workflow.dryrun:  # also where nothing is to be done
            _enlist(workflow, configuration, replace=replace)

    workflow._build_dag = build_and_look


def _enlist(workflow: Workflow, configuration: str, *, replace: bool) -> None:
    """List the configuration as a user of all that its plan needs, before the first job."""
    kept = [path for job in workflow.dag.jobs for path in job.output if not is_flagged(path, "temp")]
    replaced = _files(workflow.dag.needrun_jobs()) if replace else {}
    users.enlist(configuration, map(str, kept), replaced)


def _look_at_contents(workflow: Workflow) -> None:
    """Put jobs into the plan whose inputs were put back with an old time stamp and are not what they were."""
    dag = workflow.dag
    if back := restored.replaced(_files(job for job in dag.jobs if not dag.needrun(job))):
        logger.warning(
            f"Put back with an old time stamp, and other than when they were used: {', '.join(back)}"
        )
        restored.touch(back)
        workflow.iocache.clear()
        workflow.async_run(dag.update_needrun(create_inventory=True))


def _files(jobs: Iterable[Any]) -> dict[str, list[str]]:
    """The outputs of jobs, each with the inputs that it is made from."""
    return {str(path): [*map(str, job.input)] for job in jobs for path in job.output}
