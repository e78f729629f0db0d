"""What Snakemake's report is made of: what there is, whether or not all of the plan has been made."""

from pathlib import Path
from typing import Any


def of_what_there_is(workflow: Any) -> None:
    """Let reports leave out jobs that have not run: Snakemake by itself stops at the first figure that is not
    there.

    `workflow` is Snakemake's own object.
    """
    create, build = workflow.create_report, workflow._build_dag

    def build_and_leave_out() -> None:
        build()
        for job in [job for job in workflow.dag.jobs if not _has_run(job)]:
            workflow.dag.delete_job(job, recursive=False)

    def create_report(**settings: Any) -> None:
        workflow._build_dag = build_and_leave_out
        create(**settings)

    workflow.create_report = create_report


def _has_run(job: Any) -> bool:
    """Whether all that a job makes is there. A job that makes nothing stands for targets."""
    return all(Path(path).exists() for path in job.output)
