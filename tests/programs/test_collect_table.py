"""The tables of a configuration, collected from result files by the program."""

import csv
import re
from pathlib import Path

import pytest
from featpoison import store
from featpoison.render.layout import lines_of
from featpoison.results.cells import Cell, from_csv
from featpoison.results.rows import Row
from helpers import RECORD, ran
from oracles.worlds import (
    AS_CLAIMED,
    GC,
    GC_CONSTRAINED,
    GC_FEATURE,
    HEAD,
    IN_TRANSFER,
    MATCHING,
    NETWORK_DROPS,
    PUBLISHED,
    World,
)


def collected(world: World, table: str = "table1") -> list[Cell]:
    path = world.folder / f"{table}.csv"
    options = ("--published", PUBLISHED, "--number", table, "--results", world.json)
    done = ran("scripts/collect_table.py", *options, path)
    assert done.returncode == 0, done.stderr
    return from_csv(path.read_text())


def test_cells_stand_beside_the_papers_numbers_of_their_row(tmp_path):
    """Each row of ours finds the printed drop of the same attack, set, defence and beta, or none."""
    capped = GC_FEATURE.model_copy(update={"set": 2.0})
    filtered = MATCHING.model_copy(update={"set": 2.0, "defence": "magnitude-filter"})
    ours = Row(method="exact-input", set="free")
    drops = dict.fromkeys((GC, GC_CONSTRAINED, capped, filtered, ours), 0.05) | {HEAD: 0.2}
    found = collected(World(tmp_path).add("fine-tuning", drops, spread=0.0))
    with open(PUBLISHED, newline="") as file:
        printed = {
            line["method"]: float(line["accuracy_drop"])
            for line in csv.DictReader(file)
            if line["table"] == "1" and line["eps_d"] == "0.03" and not line["beta"]
        }
    expected = [
        printed[name] for name in ("gc-input", "gc-input-constrained", "gc-feature") for _ in range(2)
    ]
    expected += [None] * 4 + [printed["gradpc-feature"]]  # the filter is printed in Table 3 only
    assert [cell.published_drop for cell in found] == expected
    assert [round(cell.drop, 3) for cell in found] == [5.0] * 10 + [20.0]
    assert [cell.set for cell in found[::2]] == ["free", "constrained", "2", "2", "free", None]


def test_a_drop_has_the_same_interval_in_a_table_and_on_the_page_of_claims(tmp_path):
    """Attacks, target heads, heads on perturbed images and whole networks, in two scenarios: claims compare
    across these, with draws that are not shared."""
    world = World(tmp_path).add("fine-tuning", AS_CLAIMED, spread=0.02)
    world.add("transfer", IN_TRANSFER, spread=0.02).add_noise("fine-tuning", 0.05, NETWORK_DROPS)
    cells = collected(world)
    assert all(cell.drop_low < cell.drop < cell.drop_high for cell in cells)
    texts = {text for cell in cells for text in lines_of([cell])[0].cells[0] if "[" in text}
    assert len(texts) > len(cells) / 2
    options = ("--published", PUBLISHED, "--results", world.json)
    done = ran("scripts/judge_claims.py", *options, tmp_path / "claims.md")
    assert done.returncode == 0, done.stderr
    number = r"-?[\d.]+ \[-?[\d.]+, -?[\d.]+\]"
    found = re.findall(rf"drops ({number}) and ({number})", (tmp_path / "claims.md").read_text())
    assert len(found) == 2 * 9  # both victims; PatchCamelyon is not there
    assert {text for pair in found for text in pair} <= texts


def test_heads_of_another_test_set_are_refused(tmp_path):
    world = World(tmp_path).add("fine-tuning", {GC: 0.3})
    path = Path(world.results[0]["source"])
    arrays = store.read(path)
    store.write(path, arrays | {"sgd100_accuracy": arrays["sgd100_accuracy"] - 0.01}, RECORD)
    with pytest.raises(AssertionError, match=r"sgd100_accuracy is .* but its heads give"):
        collected(world)
