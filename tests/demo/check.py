"""Check the demo's tables: every declared cell is there with all of its numbers, and every figure and the
claims page."""

import math
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from featpoison.attacks import names as attacks  # noqa: E402
from featpoison.config import Table, TableRow, load  # noqa: E402
from featpoison.papers.lu2024 import ROWS  # noqa: E402
from featpoison.results import target_cells  # noqa: E402
from featpoison.results.cells import Cell, from_csv  # noqa: E402

FIGURES = range(1, 10)
PUBLISHED = {printed.method for printed in ROWS.values()}
"""Methods that the paper has numbers of, at the demo's budgets too."""


def victims(row: TableRow) -> list[str]:
    if row.attack.makes == "target":
        return ["target"]
    return ["network"] if row.method in ("emn-original", "emn-end-to-end") else ["sgd100", "converged"]


def choices(row: TableRow | Cell) -> tuple[object, ...]:
    kept_in = f"{row.set:g}" if isinstance(row.set, float) else row.set
    return row.method, row.beta, kept_in, row.cap, row.pairing, row.label, row.target, row.defence


def check_table(name: str, table: Table) -> None:
    cells = from_csv((ROOT / f"figures/demo/{name}.csv").read_text())
    found = [(*choices(cell), cell.scenario, cell.eps_d, cell.victim) for cell in cells]
    expected = [
        (*choices(row), row.scenario or table.scenario, budget, victim)
        for row in table.rows
        for budget in table.budgets_of(row)
        for victim in victims(row)
    ]
    assert found == expected, set(found) ^ set(expected)
    for cell in cells:
        check_cell(cell)
    print(f"figures/demo/{name}.csv: {len(cells)} cells, all complete")


def check_cell(cell: Cell) -> None:
    assert 5 < cell.clean_accuracy < 100, cell
    assert math.isclose(cell.clean_accuracy - cell.accuracy, cell.drop, abs_tol=0.01), cell
    if cell.method in PUBLISHED and cell.pairing is cell.label is None and cell.set != "valid":
        assert cell.published_drop is not None, cell
    if attacks.load(cell.method).ours:
        assert cell.published_drop is None, cell
    assert (ROOT / cell.source).is_file(), cell
    assert cell.title, cell
    if cell.victim == "target":
        return
    assert None not in (cell.drop_low, cell.drop_high), cell
    if cell.makes != "noise":
        assert cell.poisons is not None, cell
        assert (cell.target is None) == (cell.tau is None) == (cell.residual is None), cell
    if cell.makes != "features":
        assert cell.drop_8bit is not None, cell


def check_poisoned_twin() -> None:
    """The poisoned twin gives targets the wanted class that its clean twin never does."""
    for cell in target_cells.from_csv((ROOT / "figures/demo/pretraining.csv").read_text()):
        assert cell.targets == 50, cell
        assert cell.success_low > cell.clean_success_high, cell
        assert cell.drop_low < 2, cell


def main() -> None:
    for name, table in load(ROOT / "workflow/config/demo.yaml").tables.items():
        check_table(name, table)
    check_poisoned_twin()
    figures = [
        *(f"figure{number}" for number in FIGURES),
        "reach",
        "frontier",
        "growth",
        "ablation",
        "worth",
        "transfer",
        "pretraining",
        "neighbours",
    ]
    pages = ("claims.md", "statements.md")
    for name in [*(f"{figure}.{form}" for figure in figures for form in ("pdf", "png")), *pages]:
        assert (ROOT / "figures/demo" / name).stat().st_size > 1000, name


if __name__ == "__main__":
    main()
