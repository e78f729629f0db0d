"""The table of a configuration, collected from result files by the program."""

import csv
import json
import subprocess
import sys

import numpy as np
from featpoison import store
from featpoison.results.cells import from_csv
from helpers import RECORD, ROOT

FREE = {"set": "free", "target": "gradpc-feature", "scenario": "fine-tuning"}
FILTERED = {"method": "feature-matching", "beta": 0.25, "defence": "magnitude-filter", "set": 2.0}


def test_cells_stand_beside_the_papers_numbers_of_their_row(tmp_path):
    """Each row of ours finds the printed drop of the same attack, set, defence and beta, or none."""
    names = ("clean", "attacked", "target", "without")
    clean, attacked, target, without = (tmp_path / f"{name}.h5" for name in names)
    arrays = {"sgd100_accuracy": np.full((1, 2, 3), 0.8), "converged_accuracy": np.full(1, 0.8)}
    store.write(clean, arrays, RECORD)
    store.write(attacked, {name: array - 0.05 for name, array in arrays.items()}, RECORD, tau=0.5)
    store.write(without, store.read(attacked), RECORD)  # of an attack without a target
    store.write(target, {"omega": np.zeros((1, 2, 2))}, RECORD, accuracy=0.4, clean_accuracy=0.6, tau=1.5)
    rows = [
        ({"method": "gc-input"} | FREE, "images"),
        ({"method": "gc-input"} | FREE | {"set": "constrained"}, "images"),
        ({"method": "gc-feature"} | FREE | {"set": 2.0}, "features"),
        (FREE | FILTERED, "images"),
        ({"method": "exact-input", "set": "free", "scenario": "fine-tuning"}, "images"),
        ({"method": "gradpc-feature", "scenario": "fine-tuning"}, "target"),
    ]
    cells = [
        {
            "row": row,
            "eps_d": 0.03,
            "source": str({"gradpc-feature": target, "exact-input": without}.get(row["method"], attacked)),
            "makes": makes,
            "title": "T",
        }
        for row, makes in rows
    ]
    published = ROOT / "data/published/published_results.csv"
    with open(published, newline="") as file:
        printed = {
            line["method"]: float(line["accuracy_drop"])
            for line in csv.DictReader(file)
            if line["table"] == "1" and line["eps_d"] == "0.03" and not line["beta"]
        }
    command = [
        sys.executable,
        str(ROOT / "scripts/collect_table.py"),
        "--number",
        "table1",
        "--clean",
        str(clean),
    ]
    command += ["--published", str(published), "--cells", json.dumps(cells)]
    done = subprocess.run(
        [*command, str(tmp_path / "table1.csv")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = from_csv((tmp_path / "table1.csv").read_text())
    assert len(found) == 5 * 2 + 1
    expected = [
        printed[name] for name in ("gc-input", "gc-input-constrained", "gc-feature") for _ in range(2)
    ]
    expected += [None] * 4 + [printed["gradpc-feature"]]  # the filter is printed in Table 3 only
    assert [cell.published_drop for cell in found] == expected
    assert [round(cell.drop, 3) for cell in found] == [5.0] * 10 + [20.0]
    assert [cell.tau for cell in found] == [0.5] * 8 + [None] * 2 + [1.5]
    assert [cell.set for cell in found[::2]] == ["free", "constrained", "2", "2", "free", None]
