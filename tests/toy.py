"""A copy of this repository with a toy configuration: the real graph on sixty random images."""

import io
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import torch
import yaml
from featpoison.datasets.cifar import to_records
from featpoison.encoders.encoder import Architecture, Encoder, save_encoder
from featpoison.records.provenance import sha256_file
from helpers import RECORD, ROOT, SNAKEMAKE, environment, ran

PARTS = ("Snakefile", "environment.yml", "workflow", "scripts", "data/published")
MATCHING = "feature-matching_free_beta0.25_gradpc-feature"
POISON = f"data/poisons/toy/tiny/{MATCHING}/eps0.2-seed1.h5"
RESULT = "data/victims/toy/tiny/gc-input_free_gradpc-feature/none/eps0.2.h5"
PROFILE = ("--workflow-profile", "workflow/profiles/default")
TABLE_ROWS = [
    {"method": "gradpc-input"},
    {"method": "gc-input"},
    {"method": "gradpc-feature"},
    {"method": "gc-feature"},
    {"method": "decoder-inversion"},
    {"method": "feature-matching", "beta": 0.25},
    {"method": "gc-feature", "set": "emittable", "cap": 2.0, "target": "reachable"},
]


class Toy:
    """The copy: `run` Snakemake in it, `planned` jobs of a dry run. Snakemake itself and all programs run in
    forks of a warm interpreter, or under plain Python."""

    def __init__(self, folder: Path, plain: bool = False) -> None:
        self.folder, self.plain = folder, plain

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess:
        return self.python(SNAKEMAKE, "--configfile", "toy.yaml", *PROFILE, *arguments)

    def python(self, *arguments: str) -> subprocess.CompletedProcess:
        """A program in the copy."""
        if not self.plain:
            return ran(*arguments, folder=self.folder)
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, env=self.environment(), check=False
        )

    def audit(self, *arguments: str) -> subprocess.CompletedProcess:
        return self.python("scripts/audit.py", *arguments)

    def environment(self) -> dict[str, str]:
        """Jobs find this interpreter first."""
        return environment(FEATPOISON_WARM="0" if self.plain else "1")

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        done = self.snakemake("--cores", "2", *arguments)
        assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
        return done

    def planned(self, *arguments: str) -> dict[str, int]:
        """Rules of a dry run and how often each would run, without `all`."""
        done = self.snakemake(*arguments, "--dry-run", "--quiet", "reason")
        assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
        lines = (done.stdout + done.stderr).splitlines()
        start = next((i for i, line in enumerate(lines) if line.startswith("job ")), None)
        if start is None:
            assert "Nothing to be done" in done.stdout + done.stderr
            return {}
        jobs = {}
        for line in lines[start + 2 :]:
            parts = line.split()
            if len(parts) != 2 or parts[0] == "total":
                break
            jobs[parts[0]] = int(parts[1])
        return {name: count for name, count in jobs.items() if name != "all"}

    def remade(self, *arguments: str) -> set[str]:
        """The products that a dry run would make."""
        done = self.snakemake(*arguments, "--dry-run")
        assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
        lines = re.findall(r"^    output: (.*)$", done.stdout + done.stderr, flags=re.MULTILINE)
        return {path for line in lines for path in line.split(", ")}

    @property
    def config(self) -> dict:
        """What toy.yaml holds."""
        return yaml.safe_load((self.folder / "toy.yaml").read_text())

    def configure(self, **changes) -> None:
        (self.folder / "toy.yaml").write_text(yaml.safe_dump(self.config | changes))

    def append(self, name: str, text: str = "\nEDITED = True\n") -> None:
        with open(self.folder / name, "a") as file:
            file.write(text)

    def copied(self, folder: Path) -> "Toy":
        """The same run, with new time stamps, elsewhere. Programs keep theirs, and so their bytecode."""
        being_written = shutil.ignore_patterns(".audit.json*", ".*.part*")  # by an audit of another worker
        shutil.copytree(self.folder, folder, symlinks=True, copy_function=_anew, ignore=being_written)
        return Toy(folder)


def _anew(source: str, place: str) -> None:
    """Copy a file, with its time stamp where it is a program or its bytecode."""
    (shutil.copy2 if source.endswith((".py", ".pyc")) else shutil.copy)(source, place)


def make_toy(folder: Path, plain: bool = False) -> Toy:
    """A fresh copy without any product."""
    for part in PARTS:
        source, place = ROOT / part, folder / part
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, symlinks=True)
        else:
            shutil.copy2(source, place)
    embedded = folder / "data/embedded"
    embedded.mkdir(parents=True)
    generator = np.random.default_rng(0)
    coarse = np.kron(generator.integers(0, 256, (90, 3, 8, 8)), np.ones((1, 1, 4, 4))).astype(np.uint8)
    labels = np.arange(90) % 3
    members = {
        "data_batch_1.bin": to_records(coarse[:60], labels[:60]),
        "test_batch.bin": to_records(coarse[60:], labels[60:]),
        "batches.meta.txt": b"a\nb\nc\n",
    }
    with tarfile.open(embedded / "toy.tar", "w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    torch.manual_seed(0)
    save_encoder(embedded / "toy.safetensors", Encoder(Architecture(width=8, stem_stride=2)).freeze(), RECORD)
    config = {
        "output": "figures/toy",
        "gpu": False,
        "datasets": {"toy": {"format": "cifar-10-binary", "archive": pinned(folder, "toy.tar")}},
        "encoders": {"tiny": {"weights": pinned(folder, "toy.safetensors")}},
        "scenarios": {name: {"dataset": "toy", "encoder": "tiny"} for name in ("fine-tuning", "transfer")},
        "victims": {"seeds": [0, 1], "sgd100": {"epochs": 12, "batch_size": 16}},
        "poison_seeds": [0, 1],
        "trajectory": {"step_sizes": [0.01, 0.1], "epochs": [2, 12], "batch_size": 16},
        "attacks": {
            "gradpc": {"draws": 2, "minibatch": 8},
            "reachable_bounded": {"iterations": 10, "steps_per_octave": 1},
            "gc_feature": {"iterations": 50},
            "feature_matching": {"steps": 5, "batch_size": 4},
            "gc_input": {"epochs": 5},
            "tgda_input": {"epochs": 5},
            "exact_feature": {"epochs": 3},
            "exact_input": {"epochs": 3},
            "decoder_inversion": {"epochs": 1, "batch_size": 16, "channels": [8, 8, 8, 8, 8]},
        },
        "tables": {
            "table1": {"paper": "lu2024", "scenario": "fine-tuning", "budgets": [0.2], "rows": TABLE_ROWS}
        },
        "figures": {
            "transfer": "transfer",
            "budget": 0.2,
            "betas": [0.25],
            "transfer_betas": [0.25],
            "images": 4,
            "caps": [],
        },
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(config))
    return Toy(folder, plain)


def pinned(folder: Path, name: str) -> dict[str, str]:
    return {"path": f"data/embedded/{name}", "sha256": sha256_file(folder / "data/embedded" / name)}
