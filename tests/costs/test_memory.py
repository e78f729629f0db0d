"""What programs keep in memory at once: a fraction of images that are larger than it, and no more than the
plan says."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.attacks.operations import Sizes
from featpoison.config import load
from featpoison.costs import plan
from featpoison.encoders.encoder import Architecture, Encoder, save_encoder
from helpers import RECORD, ROOT

COUNT, SIDE = 40_000, 32  # 123 MB of training images; 3 MB a batch of float32
WHOLE = COUNT * 3 * SIDE * SIDE

PROGRAM = """
import json, sys
from pathlib import Path

import torch
sys.path.insert(0, "scripts")
import extract_features
from featpoison import store
from featpoison.attacks.attack import Run
from featpoison.attacks.image_poisons import allowed, random_start
from featpoison.downstream.task import Task


class Mean(torch.nn.Module):
    dimension, mean = 3, torch.zeros(3)

    def forward(self, pixels):
        return pixels.mean((2, 3))


def peak():
    # ru_maxrss would begin with what the parent holds.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def features(images, output):
    extract_features.load_encoder = lambda path: Mean()
    files = ["--images", images, "--encoder", images, output]
    sys.argv = ["scripts/extract_features.py", "--device", "cpu", *files]
    extract_features.main()


def attack(images, output):
    labels = torch.zeros(store.lengths(Path(images))["train_images"], dtype=torch.int64)
    task = Task(torch.zeros(len(labels), 3), labels, torch.zeros(1, 3), labels[:1], 1)
    files, budget = {"images": Path(images)}, 100 / len(labels)
    start = random_start(task, Run(None, None, files, torch.device("cpu"), None, budget))
    assert len(start.images) == 100
    assert allowed(True, Path(images)).high > 0.99


def verify(images, output):
    store.verify(Path(images))


small, large, scratch = sys.argv[1:]
found = {}
for work in (verify, attack, features):
    work(small, scratch + "/small.h5")  # what libraries take at first use
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak()
    work(large, scratch + "/large.h5")
    found[work.__name__] = peak() - before
print(json.dumps(found))
"""


class Ramp(store.Rows):
    """Images of one value each."""

    def __init__(self, count: int):
        self.shape, self.dtype = (count, 3, SIDE, SIDE), np.dtype(np.uint8)

    def __getitem__(self, rows):
        return (
            np.repeat(np.arange(rows.start, rows.stop) % 256, 3 * SIDE * SIDE)
            .astype(np.uint8)
            .reshape(-1, *self.shape[1:])
        )


linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc"
)


@linux
def test_features_attacks_and_the_audit_hold_a_fraction_of_the_images(tmp_path):
    """Each works on few images, then on many: the peak may grow by half of the many at most."""
    for name, count in (("few", 3000), ("many", COUNT)):
        arrays = {f"{part}_images": Ramp(n) for part, n in (("train", count), ("test", 300))}
        arrays |= {f"{part}_labels": np.zeros(n, np.int64) for part, n in (("train", count), ("test", 300))}
        store.write(tmp_path / f"{name}.h5", arrays, RECORD, classes=["one"])
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        str(tmp_path / "few.h5"),
        str(tmp_path / "many.h5"),
        str(tmp_path),
    ]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, run.stderr
    grown = json.loads(run.stdout)
    assert set(grown) == {"verify", "attack", "features"}
    for name, size in grown.items():
        assert size < WHOLE / 2, f"{name}: {size / 1e6:.0f} MB more for {WHOLE / 1e6:.0f} MB of images"
    features = store.read(tmp_path / "large.h5")
    np.testing.assert_allclose(features["train"][:, 0], np.arange(COUNT) % 256 / 255, atol=1e-6)


PEAK = """
import runpy, sys
sys.path.insert(0, "scripts")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
VICTIMS = '{"sgd100": {"epochs": 1, "tail": 1}, "converged": {"ridge": 0.01}, "seeds": [0]}'
CANCELING = '{"epochs": 21, "step_size": 0.001, "threshold": 0, "batch_size": 100}'
NOISE = '{"steps": 1, "training_steps": 1, "max_rounds": 1, "training": {"batch_size": 100}}'
PLACE = {"dataset": "cifar10", "encoder": "simclr-resnet18-cifar10"}
PLACES = {
    "make_target_head": {"target": "gradpc-feature"},
    "poison_images": {"attack": "gc-input_free_gradpc-feature", "budget": "1"},
    "extract_quantized": {"attack": "gc-input_free_gradpc-feature", "budget": "1"},
    "evaluate_attack": {"attack": "gc-input_free_gradpc-feature", "budget": "1"},
    "make_emn_noise": {"attack": "emn-input"},
    "evaluate_emn": {"attack": "emn-input"},
}
"""The wildcards of the rules beside data set and encoder."""


def peaks(folder: Path, count: int, encoder: Path) -> dict[str, int]:
    """Bytes that programs hold at once, by rule, on `count` training images and as many poisons of three
    seeds."""
    folder.mkdir()

    def at(name: str) -> Path:
        return folder / f"{name}.h5"

    def run(program: str, *arguments: object) -> int:
        command = [sys.executable, "-c", PEAK, f"scripts/{program}.py", *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return 1024 * int(done.stdout.split()[-1])

    generator, labels = np.random.default_rng(0), np.arange(count) % 2
    pixels = (generator.integers(0, 128, (count, 3, SIDE, SIDE)) + 100 * labels[:, None, None, None]).astype(
        np.uint8
    )
    arrays = {
        "train_images": pixels,
        "train_labels": labels,
        "test_images": pixels[:100],
        "test_labels": labels[:100],
    }
    store.write(at("images"), arrays, RECORD, classes=["a", "b"])
    both = ["--images", at("images"), "--encoder", encoder]
    found = {"extract_features": run("extract_features", *both, at("features"))}
    known = ["--features", at("features")]
    found["train_heads"] = run("train_heads", *known, "--settings", VICTIMS, at("clean"))
    head = ["--attack", "gradpc-feature", "--choice", '{"method": "gradpc-feature"}', "--clean", at("clean")]
    found["make_target_head"] = run("make_target_head", *head, *known, at("target"))
    known += ["--target", at("target")]
    choice = '{"method": "gc-input", "set": "free", "target": "gradpc-feature"}'
    canceling = ["--attack", "gc-input", "--choice", choice, "--budget", 1, "--seed", 0]
    found["poison_images"] = run(
        "poison_images", *canceling, "--settings", CANCELING, *both, *known, at("poisons")
    )
    poisons, seeds = ["--poisons", *[at("poisons")] * 3], ["--poison-seeds", 0, 1, 2]
    found["extract_quantized"] = run(
        "extract_quantized", "--encoder", encoder, *poisons, "--shard", "1-of-1", "--", at("quantized")
    )
    found["evaluate_attack"] = run(
        "evaluate_attack", *both, *known, *poisons, *seeds, "--settings", VICTIMS, "--", at("victims")
    )
    variant = ["--attack", "emn-input", "--choice", '{"method": "emn-input"}', "--seed", 0]
    found["make_emn_noise"] = run("make_emn_noise", *variant, "--settings", NOISE, *both, at("noise"))
    noise = ["--noise", *[at("noise")] * 3]
    found["evaluate_emn"] = run("evaluate_emn", *both, *noise, "--settings", VICTIMS, "--", at("unlearned"))
    return found


@linux
@pytest.mark.slow
def test_programs_hold_no_more_than_the_plan_grants(tmp_path):
    """What they hold of many images beyond what they hold of few, against `plan.memory_of`; never far below
    either."""
    torch.manual_seed(0)
    encoder = Encoder(Architecture(width=8, stem_stride=2)).freeze()
    save_encoder(tmp_path / "encoder.safetensors", encoder, RECORD)
    few, many = 300, 5000
    less, more = (
        peaks(tmp_path / str(count), count, tmp_path / "encoder.safetensors") for count in (few, many)
    )
    config = load(ROOT / "workflow/config/paper.yaml")

    def sizes(*_: str) -> Sizes:
        return Sizes(many - few, 0, SIDE, 2, encoder.dimension, 0.0)

    for rule, size in more.items():
        granted = plan.memory_of(plan.PlannedJob(rule, PLACE | PLACES.get(rule, {})), config, sizes)
        held, tolerance = size - less[rule], 30e6  # of libraries and their allocators
        text = f"{rule}: {held / 1e6:.0f} MB, granted {granted / 1e6:.0f} MB"
        assert granted / 3 - tolerance < held < granted + tolerance, text
