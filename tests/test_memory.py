"""Images that are larger than memory: what programs keep of them at once."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from featpoison import store
from helpers import RECORD, ROOT

COUNT, SIDE = 40_000, 32  # 123 MB of training images; 3 MB a batch of float32
WHOLE = COUNT * 3 * SIDE * SIDE

PROGRAM = """
import json, sys
from pathlib import Path

import torch
sys.path.insert(0, "scripts")
import extract_features
from featpoison import image_poisons, store
from featpoison.attacks.input_space import InputSpace
from featpoison.evaluation import Downstream


class Mean(torch.nn.Module):
    dimension, mean = 3, torch.zeros(3)

    def forward(self, pixels):
        return pixels.mean((2, 3))


def peak():
    lines = Path("/proc/self/status").read_text().splitlines()  # ru_maxrss would begin with what the parent holds
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def features(images, output):
    extract_features.load_encoder = lambda path: Mean()
    sys.argv = ["scripts/extract_features.py", "--device", "cpu", "--images", images, "--encoder", images, output]
    extract_features.main()


def attack(images, output):
    labels = torch.zeros(store.lengths(Path(images))["train_images"], dtype=torch.int64)
    task = Downstream(torch.zeros(len(labels), 3), labels, torch.zeros(1, 3), labels[:1], 1)
    rows = torch.arange(len(labels) - 1, 0, -len(labels) // 100)
    image_poisons.start_at(rows, task, Path(images), torch.device("cpu"))
    image_poisons.allowed(InputSpace(constrained=True), Path(images))


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
        return np.repeat(np.arange(rows.start, rows.stop) % 256, 3 * SIDE * SIDE).astype(np.uint8).reshape(-1, *self.shape[1:])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
def test_features_attacks_and_the_audit_hold_a_fraction_of_the_images(tmp_path):
    """Each works on few images, then on many: the peak may grow by half of the many at most."""
    for name, count in (("few", 3000), ("many", COUNT)):
        arrays = {f"{part}_images": Ramp(n) for part, n in (("train", count), ("test", 300))}
        arrays |= {f"{part}_labels": np.zeros(n, np.int64) for part, n in (("train", count), ("test", 300))}
        store.write(tmp_path / f"{name}.h5", arrays, RECORD, classes=["one"])
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "few.h5"), str(tmp_path / "many.h5"), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, run.stderr
    grown = json.loads(run.stdout)
    assert set(grown) == {"verify", "attack", "features"}
    for name, size in grown.items():
        assert size < WHOLE / 2, f"{name}: {size / 1e6:.0f} MB more for {WHOLE / 1e6:.0f} MB of images"
    features = store.read(tmp_path / "large.h5")
    np.testing.assert_allclose(features["train"][:, 0], np.arange(COUNT) % 256 / 255, atol=1e-6)
