"""Check the demo's table: every declared row that has a rule is there, for each budget and victim, with all of its numbers."""

import math
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from featpoison.config import load  # noqa: E402
from featpoison.render.numbers import from_csv  # noqa: E402

CHAIN = {"gradpc-input", "gradpc-feature", "gc-feature", "decoder-inversion", "feature-matching"}


def main() -> None:
    config = load(ROOT / "workflow/config/demo.yaml")
    table = config.tables["table1"]
    cells = from_csv((ROOT / "figures/demo/table1.csv").read_text())
    made = {cell.method for cell in cells}
    assert made >= CHAIN, CHAIN - made
    found = {(cell.method, cell.beta, cell.eps_d, cell.victim) for cell in cells}
    expected = {
        (row.method, row.beta, budget, victim)
        for row in table.rows
        if row.method in made
        for budget in table.budgets
        for victim in (["target"] if row.method.startswith("gradpc-") else ["sgd100", "converged"])
    }
    assert found == expected, found ^ expected
    for cell in cells:
        assert 20 < cell.clean_accuracy < 100, cell
        assert math.isclose(cell.clean_accuracy - cell.accuracy, cell.drop, abs_tol=0.01), cell
        assert cell.published_drop is not None, cell
        assert (ROOT / cell.source).is_file(), cell
        if cell.victim != "target":
            assert None not in (cell.drop_low, cell.drop_high, cell.residual, cell.magnitude_ratio), cell
    print(f"figures/demo/table1.csv: {len(cells)} cells, all complete")


if __name__ == "__main__":
    main()
