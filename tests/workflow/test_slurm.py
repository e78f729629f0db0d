"""The cluster profile against a real Slurm: the toy graph's products, what each job asked for, failed and
killed jobs."""

import re
import shutil
import subprocess
import sys
import threading
import time

import pytest
import yaml
from helpers import ROOT
from toy import MATCHING, POISON, Toy, make_toy

from slurm import KEEPS_ACCOUNTS, MISSING, Slurm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"Slurm is not installed here (Debian: slurm-wlm, munge); missing: {', '.join(MISSING)}",
    ),
]
TABLE = "figures/toy/table1.csv"
PAIRS = "data/pairs/toy/tiny/gc-feature_free_gradpc-feature/all/eps0.2-seed0.h5"
IN_INPUT_SPACE = "gc-input_free_gradpc-feature"
INPUT_POISON = f"data/poisons/toy/tiny/{IN_INPUT_SPACE}/eps0.2-seed0.h5"
NOISE = "data/emn/toy/tiny/emn-input/seed0.h5"
ONE_GPU, TWO_GPUS = "gres:gpu:1", "gres:gpu:2"
ROWS = [{"method": "gc-input"}, {"method": "gc-feature"}, {"method": "feature-matching", "beta": 0.25}]
SMALL = {"shards": 2, "tables": {"table1": {"scenario": "fine-tuning", "budgets": [0.2], "rows": ROWS}}}
IMPATIENT = [
    "--latency-wait",
    "10",
    "--seconds-between-status-checks",
    "1",
    "--slurm-init-seconds-before-status-checks",
    "1",
]


class OnSlurm(Toy):
    """The toy repository, run through its Slurm profile."""

    def __init__(self, folder, cluster: Slurm) -> None:
        super().__init__(folder)
        self.cluster = cluster
        shutil.copy(ROOT / "slurm", folder / "slurm", follow_symlinks=False)

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess:
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--profile",
            "slurm",
            *IMPATIENT,
            "--configfile",
            "toy.yaml",
            *arguments,
        ]
        path = f"{self.cluster.root}/bin:{sys.prefix}/bin:{self.cluster.environment['PATH']}"
        environment = self.cluster.environment | {"PATH": path}
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, env=environment, check=False
        )

    def submit(self, *arguments: str) -> list[dict[str, str]]:
        """The cluster's jobs of a run that succeeds."""
        before = {job["JobId"] for job in self.cluster.jobs()}
        done = self.snakemake(*arguments)
        assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
        return [job for job in self.cluster.jobs() if job["JobId"] not in before]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Toy:
    """The table, made without a cluster."""
    toy = make_toy(tmp_path_factory.mktemp("local"))
    toy.configure(**SMALL)
    toy.run("--", TABLE)
    return toy


@pytest.fixture(scope="module")
def remote(cluster, tmp_path_factory) -> tuple[OnSlurm, list[dict[str, str]]]:
    """The same table made on the cluster, and the cluster's jobs."""
    toy = OnSlurm(make_toy(tmp_path_factory.mktemp("remote")).folder, cluster)
    toy.configure(**SMALL, gpu=True)
    return toy, toy.submit("--", TABLE)


def test_a_table_made_on_the_cluster_is_the_local_one(local, remote):
    assert (remote[0].folder / TABLE).read_bytes() == (local.folder / TABLE).read_bytes()


def test_small_jobs_travel_together_and_ask_for_one_gpu(remote):
    toy, jobs = remote
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    assert len(jobs) < len(list((toy.folder / "benchmarks").rglob("*.jsonl"))) / 2
    assert {job.get("TresPerJob") for job in jobs} == {ONE_GPU}


def test_rules_without_a_gpu_ask_for_none(remote):
    toy, _ = remote
    (toy.folder / PAIRS).unlink()
    jobs = toy.submit("--", PAIRS)
    assert [job.get("TresPerJob") for job in jobs] == [None]


def test_emn_noise_has_the_gpus_that_it_is_spread_over(remote):
    toy, _ = remote
    attacks = toy.config["attacks"]
    toy.configure(
        attacks=attacks | {"emn": {"max_rounds": 2, "images_per_class": 8, "training": {"batch_size": 8}}},
        emn_shards=2,
    )
    jobs = toy.submit("--", NOISE)
    assert [job.get("TresPerJob") for job in jobs] == [TWO_GPUS]


@pytest.mark.skipif(not KEEPS_ACCOUNTS, reason="no accounts without Debian's slurmdbd and mariadb-server")
def test_the_accounts_say_who_had_a_gpu(remote, cluster):
    toy, jobs = remote
    (toy.folder / PAIRS).unlink()
    without = {job["JobId"] for job in toy.submit("--", PAIRS)}
    accounts = {job["JobID"]: job for job in cluster.accounts("JobID", "State", "AllocTRES")}
    for job in jobs:
        assert accounts[job["JobId"]]["State"] == "COMPLETED"
        assert "gres/gpu=1" in accounts[job["JobId"]]["AllocTRES"].split(",")
    assert ["gpu" in accounts[job]["AllocTRES"] for job in without] == [False]


def test_a_job_without_enough_memory_is_tried_again_with_more(remote):
    toy, _ = remote
    made = (toy.folder / PAIRS).read_bytes()
    (toy.folder / PAIRS).unlink()
    jobs = toy.submit("--set-resources", "pair_features:mem_mb=200*20**(attempt-1)", "--", PAIRS)
    assert [job["JobState"] for job in jobs] == ["FAILED", "COMPLETED"]
    assert [memory(job["MinMemoryNode"]) for job in jobs] == [200, 4000]
    logs = [path.read_text() for path in (toy.folder / "logs/slurm").rglob(f"{jobs[0]['JobId']}.log")]
    assert any("exceeded memory limit" in log for log in logs)
    assert (toy.folder / PAIRS).read_bytes() == made


def test_a_failed_job_shows_its_log(remote):
    toy, _ = remote
    config = (toy.folder / "toy.yaml").read_text()
    attacks = yaml.safe_load(config)["attacks"]
    attacks["gc_input"]["step_size"] = 1e38
    toy.configure(attacks=attacks)
    done = toy.snakemake("--retries", "0", "--", INPUT_POISON)
    (toy.folder / "toy.yaml").write_text(config)
    assert done.returncode != 0
    assert re.search(r"epoch \d+(: the objective is|, batch \d+: the gradient is not finite)", done.stderr)
    assert f"logs/poison_images/toy/tiny/{IN_INPUT_SPACE}/eps0.2-seed0.log" in done.stderr


@pytest.fixture(scope="module")
def long(local, remote) -> OnSlurm:
    """The toy on the cluster, with a feature matching that takes long enough to be interrupted; `local` has
    made its poisons."""
    toy, _ = remote
    for one in (local, toy):
        attacks = one.config["attacks"]
        one.configure(attacks=attacks | {"feature_matching": {"steps": 1000, "batch_size": 4}}, shards=1)
    local.run("--", POISON)
    return toy


def interrupted(toy: OnSlurm, *command: str) -> tuple[list[dict[str, str]], list[str]]:
    """The cluster's jobs of the poisons, and which of them `command` met as soon as there was a state to
    resume from."""
    states = toy.folder / "data/poisons/toy/tiny" / MATCHING
    met = []

    def interrupt() -> None:
        while not met:
            time.sleep(0.2)
            if list(states.rglob(".*.state")):
                met.extend(job["JobId"] for job in toy.cluster.jobs() if job["JobState"] == "RUNNING")
            if met:
                toy.cluster.command(*command, *met)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    jobs = toy.submit("--", POISON)
    thread.join(1)
    assert len(met) == 1
    assert "resumed" in next((toy.folder / "logs/poison_images").rglob(f"{MATCHING}/*seed1.log")).read_text()
    return jobs, met


def test_a_killed_job_is_tried_again_with_more_memory_and_resumes(local, long):
    jobs, killed = interrupted(long, "scancel")
    states = {job["JobId"]: job["JobState"] for job in jobs}
    assert [states[job] for job in killed] == ["CANCELLED"]
    first, second = (job["MinMemoryNode"] for job in jobs[-2:])
    assert memory(second) == 2 * memory(first)
    assert (long.folder / POISON).read_bytes() == (local.folder / POISON).read_bytes()


def test_a_job_that_slurm_takes_back_and_queues_again_resumes(local, long):
    """What happens to a preempted one."""
    (long.folder / POISON).unlink()
    jobs, requeued = interrupted(long, "scontrol", "requeue")
    assert [(job["JobId"], job["JobState"], job["Restarts"]) for job in jobs] == [
        (requeued[0], "COMPLETED", "1")
    ]
    assert (long.folder / POISON).read_bytes() == (local.folder / POISON).read_bytes()


def memory(text: str) -> float:
    """Megabytes of Slurm's 16000M or 15.6G."""
    return float(text[:-1]) * {"M": 1, "G": 1024}[text[-1]]
