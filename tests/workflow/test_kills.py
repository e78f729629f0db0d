"""kill -9 at random moments, and what a second run meets: in the end every product is bit for bit what an
undisturbed run makes."""

import hashlib
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from toy import Toy, make_toy

KILLS = 50  # at least
MORTALITY = 0.5
DRAW = random.Random(0)
SIMCLR = {"architecture": {"width": 8, "stem_stride": 2}, "epochs": 8, "batch_size": 20, "warmup_epochs": 1}
LONGER = {  # long enough to be killed in the middle, with states to resume from
    "gc_feature": {"iterations": 50},
    "feature_matching": {"steps": 50, "batch_size": 1, "tolerance": 0},
    "gc_input": {"epochs": 250, "threshold": 0},
    "tgda_input": {"epochs": 120},
    "exact_feature": {"epochs": 40},
    "exact_input": {"epochs": 60},
    "decoder_inversion": {"epochs": 3, "batch_size": 16, "channels": [8, 8, 8, 8, 8]},
    "emn": {
        "max_rounds": 4,
        "steps": 2,
        "training_steps": 4,
        "images_per_class": 8,
        "training": {"batch_size": 16},
    },
}
TABLE = "figures/toy/table1.csv"
MORE_ATTACKS = ("tgda-input_free", "exact-input_free", "exact-feature-matching_cap1_beta0.25")
TARGETS = [
    "all",
    "data/encoders/grown.safetensors",
    "data/emn/toy/tiny/emn-original/seed0.h5",
    *(f"data/poisons/toy/tiny/{attack}/eps0.2-seed0.h5" for attack in MORE_ATTACKS),
]


def longer(folder: Path, **changes) -> Toy:
    """A toy whose steps take some seconds beyond the start of the interpreter."""
    toy = make_toy(folder, plain=True)
    values = toy.config
    values["encoders"]["grown"] = {"pretraining": {"dataset": "toy", "simclr": SIMCLR}}
    toy.configure(**values | {"attacks": LONGER} | changes)
    return toy


def digests(toy: Toy) -> dict[str, str]:
    """Of all files under data/ and figures/ that are no leftovers of a kill."""
    paths = [
        path for part in ("data", "figures") for path in (toy.folder / part).rglob("*") if path.is_file()
    ]
    return {
        path.relative_to(toy.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if not path.name.startswith(".") and ".shards" not in path.parent.name
    }


def programs(parent: psutil.Process) -> list[psutil.Process]:
    """The programs of this workflow that run under a Snakemake process."""
    found = []
    for child in parent.children(recursive=True):
        try:
            command = child.cmdline()  # once: the program may end between two looks
            if command[1:2] and command[1].startswith("scripts/"):
                found.append(child)
        except psutil.Error:
            continue
    return found


def saved(process: psutil.Process) -> bool:
    """Whether a program has a state to resume from."""
    output = Path(process.cwd()) / process.cmdline()[-1]
    return output.with_name(f".{output.name}.state").exists()


class Killer(threading.Thread):
    """Kills the programs of a Snakemake process. Each is drawn, when it starts, to live or to die after some
    seconds of processor time, and drawn again when it has a state to resume from.

    Of processor time, so that it is the same on a slow machine: an import of torch takes two seconds of it,
    the longest steps here ten.
    """

    def __init__(self, parent: int) -> None:
        super().__init__(daemon=True)
        self.parent, self.fates, self.landed, self.resumable = psutil.Process(parent), {}, [], 0

    def run(self) -> None:
        try:
            while True:
                time.sleep(0.1)
                for program in programs(self.parent):
                    self.judge(program)
        except psutil.NoSuchProcess:  # Snakemake has ended
            return

    def judge(self, program: psutil.Process) -> None:
        try:
            times, name, state = program.cpu_times(), Path(program.cmdline()[1]).stem, saved(program)
            used = times.user + times.system
            if (program, state) not in self.fates:
                seconds = DRAW.uniform(0, 1) if state else DRAW.uniform(0, 3.5)
                self.fates[program, state] = used + seconds if DRAW.random() < MORTALITY else float("inf")
            if used >= self.fates[program, state]:
                program.kill()
                self.landed.append(name)
                self.resumable += state
        except (psutil.Error, IndexError):  # it has just ended
            return


STARTED: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def _nothing_runs_on():
    yield
    for run in STARTED:
        if run.poll() is None:
            for child in psutil.Process(run.pid).children(recursive=True):
                child.kill()
            run.kill()
            run.wait()
    STARTED.clear()


def begin(toy: Toy, *targets: str) -> subprocess.Popen:
    """Snakemake in the background, output in run.log."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--configfile",
        "toy.yaml",
        "--workflow-profile",
        "workflow/profiles/default",
    ]
    options = ["--cores", "2", "--retries", "100"]
    with open(toy.folder / "run.log", "a") as log:
        run = subprocess.Popen(
            [*command, *options, *targets], cwd=toy.folder, env=toy.environment(), stdout=log, stderr=log
        )
    STARTED.append(run)
    return run


def locked(toy: Toy) -> bool:
    return any((toy.folder / ".snakemake/locks").glob("*"))


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def clear_lock(toy: Toy) -> None:
    """As the README says, after a run that says so."""
    refused = toy.snakemake("--cores", "2")
    assert refused.returncode != 0
    assert "Directory cannot be locked" in refused.stderr
    assert "--unlock" in refused.stderr
    cleared = toy.snakemake("--unlock")
    assert cleared.returncode == 0, cleared.stderr
    assert not locked(toy)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Toy:
    toy = longer(tmp_path_factory.mktemp("undisturbed"))
    toy.run(*TARGETS)
    return toy


def disturbed(toy: Toy) -> Killer:
    """A run to the end, with kills."""
    run = begin(toy, *TARGETS)
    killer = Killer(run.pid)
    killer.start()
    assert run.wait(1800) == 0, (toy.folder / "run.log").read_text()[-5000:]
    killer.join()
    return killer


def cut_short(toy: Toy, kills: int) -> tuple[Killer, list[psutil.Process]]:
    """A run that is itself killed after some kills, while programs run; these are returned, as they live
    on."""
    run = begin(toy, *TARGETS)
    killer = Killer(run.pid)
    killer.start()
    wait_for(lambda: len(killer.landed) >= kills and programs(killer.parent), 600)
    children = programs(killer.parent)
    run.kill()
    run.wait()
    killer.join()
    return killer, children


@pytest.mark.slow
def test_killed_at_random_it_ends_with_the_same_bits(undisturbed, tmp_path):
    """Snakemake itself too, three times: its programs are then killed, awaited, or left running beside the
    next run."""
    toy = longer(tmp_path, shards=3, feature_shards=2)
    killers, left = [], []
    for orphans in ("killed", "awaited", "left"):
        killer, children = cut_short(toy, 5)
        for child in children if orphans == "killed" else ():
            child.kill()
        if orphans == "awaited":
            psutil.wait_procs(children, timeout=60)
        killers.append(killer)
        left += children
        clear_lock(toy)
    killers.append(disturbed(toy))
    while sum(len(killer.landed) for killer in killers) < KILLS:  # the draws decide how many there are
        # All poisons are made again only where nothing that was made from them is left.
        for part in ("data/poisons", "data/victims", "figures"):
            shutil.rmtree(toy.folder / part)
        killers.append(disturbed(toy))
    psutil.wait_procs(left, timeout=60)
    landed, resumable = (
        [name for killer in killers for name in killer.landed],
        sum(killer.resumable for killer in killers),
    )
    print(
        f"{len(landed)} kills of {len(set(landed))} programs, {resumable} of them with a state to resume from"
    )
    assert resumable >= 5
    assert digests(toy) == digests(undisturbed)
    assert not locked(toy)
    assert list(toy.folder.rglob(".*.state")) == []
    assert toy.planned(*TARGETS) == {}
    leftovers = [
        path for part in ("data", "figures") for path in (toy.folder / part).rglob(".*") if path.is_file()
    ]
    assert all(".part" in path.suffixes for path in leftovers), leftovers
    audit = toy.audit(TABLE)
    assert audit.returncode == 0, audit.stderr


@pytest.mark.slow
def test_two_runs_in_one_directory(tmp_path):
    """The second stops at the lock of the first, which finishes; a lock whose run was killed is cleared by
    one line."""
    toy = make_toy(tmp_path, plain=True)
    first = begin(toy, "data/features/toy/tiny.h5")
    wait_for(lambda: locked(toy))
    psutil.Process(first.pid).suspend()  # a slow machine has not started the second when the first ends
    second = toy.snakemake("--cores", "2", "data/features/toy/tiny.h5")
    psutil.Process(first.pid).resume()
    assert second.returncode != 0
    assert "Directory cannot be locked" in second.stderr
    assert first.wait(120) == 0
    before = (tmp_path / "data/features/toy/tiny.h5").read_bytes()
    killed = begin(toy, "data/heads/toy/tiny/clean.h5")
    wait_for(lambda: programs(psutil.Process(killed.pid)))
    children = programs(psutil.Process(killed.pid))
    killed.kill()
    killed.wait()
    for child in children:
        child.kill()
    clear_lock(toy)
    toy.run("data/heads/toy/tiny/clean.h5")
    assert (tmp_path / "data/features/toy/tiny.h5").read_bytes() == before


@pytest.mark.slow
def test_an_input_that_vanishes_after_planning_is_named(tmp_path):
    toy = make_toy(tmp_path, plain=True)
    archive = tmp_path / "data/embedded/toy.tar"
    first, later = "data/encoders/tiny.safetensors", "data/images/toy.h5"
    run = begin(toy, first, later, "--cores", "1", "--prioritize", first, "--retries", "0")
    wait_for(
        lambda: any("import_encoder" in " ".join(one.cmdline()) for one in programs(psutil.Process(run.pid)))
    )
    archive.rename(tmp_path / "elsewhere.tar")
    assert run.wait(120) != 0
    assert "data/embedded/toy.tar (missing locally" in (tmp_path / "run.log").read_text()
    kept = (tmp_path / first).read_bytes()
    again = toy.snakemake("--cores", "1", later)
    assert again.returncode != 0
    assert "data/embedded/toy.tar does not exist" in again.stderr
    (tmp_path / "elsewhere.tar").rename(archive)
    toy.run(later)
    assert (tmp_path / first).read_bytes() == kept
