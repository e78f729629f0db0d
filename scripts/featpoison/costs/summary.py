"""A plan in a few lines: how many jobs, how many hours, and which steps take most of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featpoison.attacks.operations import Work
from featpoison.costs.plan import PlannedJob, by_rule
from featpoison.costs.resources import Resources

SHOWN = 5
"""Steps that a summary names."""


@dataclass(frozen=True)
class Step:
    """The jobs of a rule, or of a rule with one attack."""

    name: str
    jobs: int
    work: Work
    """Of all of them."""
    hours: float
    """Of all of them, of a GPU or of a core."""


def summary(steps: Sequence[Step], unit: str) -> list[str]:
    """The lines of a summary: all together, the steps that take the most hours, and the rest."""
    jobs, hours = sum(step.jobs for step in steps), sum(step.hours for step in steps)
    lines = [f"{jobs} jobs, {hours:.3g} {unit}"]
    ordered = sorted(steps, key=lambda step: -step.hours)
    for step in ordered[:SHOWN]:
        share = step.hours / hours if hours else 0.0
        lines.append(f"  {step.name}: {step.hours:.3g} {unit} ({share:.0%}) in {step.jobs} jobs")
    if rest := ordered[SHOWN:]:
        lines.append(f"  {len(rest)} other steps: {sum(step.hours for step in rest):.3g} {unit}")
    return lines


def cluster_jobs(jobs: Mapping[str, int], groups: Mapping[str, str], components: Mapping[str, int]) -> int:
    """Jobs of a cluster, at most, that `jobs` by rule become: those of a group travel together, as many as
    `components` says."""
    travelling: Counter[str] = Counter()
    for rule, count in jobs.items():
        travelling[groups.get(rule, f"rule {rule}")] += count
    return sum(-(-count // components.get(group, 1)) for group, count in travelling.items())


def announce(workflow: Any, resources: Resources) -> None:
    """Let a dry run begin with the summary of its plan; `workflow` is Snakemake's own object."""
    from snakemake.logging import logger

    build = workflow._build_dag

    def build_and_say() -> None:
        build()
        if workflow.is_main_process and workflow.dryrun:
            for line in of_plan(workflow, resources):
                logger.info(line)

    workflow._build_dag = build_and_say


def of_plan(workflow: Any, resources: Resources) -> list[str]:
    """The summary of the jobs that a plan of Snakemake will run. Hours are said where they are a GPU's: those
    of CPUs would need the images."""
    needed = [job for job in workflow.dag.needrun_jobs() if job.rule.name != "all"]
    if not needed:
        return []
    counts = Counter(job.rule.name for job in needed if not job.is_local)
    groups = workflow.group_settings.overwrite_groups
    lines = [f"{len(needed)} jobs; their hours: python scripts/plan_cost.py"]
    if resources.config.gpu:
        planned = [PlannedJob(job.rule.name, dict(job.wildcards.items())) for job in needed]
        found = by_rule(planned, resources.config, resources.sizing)
        steps = [Step(name, jobs, work, work.hours()) for name, (jobs, work) in found.items()]
        lines = summary(steps, "GPU hours")
    if groups:
        most = cluster_jobs(counts, groups, workflow.group_settings.group_components)
        lines.append(f"  at most {most} jobs of the cluster")
    return ["What this plan takes:", *lines, ""]
