"""Every attack, table, figure and claim through the real graph, on the toy copy."""

import pytest
import yaml
from featpoison.results.cells import from_csv
from helpers import ROOT
from toy import make_toy


def demo_tables() -> dict:
    """The demo's tables and rows, all at the toy's budget."""
    tables = yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())["tables"]
    for table in tables.values():
        if table["budgets"] != [float("inf")]:
            table["budgets"] = [0.2]
        for row in table["rows"]:
            row.pop("budgets", None)
    return tables


@pytest.mark.slow
def test_all_that_the_demo_declares_is_made_audited_and_made_once(tmp_path):
    toy = make_toy(tmp_path)
    values = toy.config
    values["scenarios"]["transfer"] = values["scenarios"]["fine-tuning"]
    values["attacks"]["emn"] = {
        "max_rounds": 2,
        "steps": 2,
        "training_steps": 2,
        "images_per_class": 8,
        "training": {"batch_size": 16},
    }
    values["network_victims"] = {"epochs": 1, "seeds": [0]}
    values["tables"] = demo_tables()
    values["figures"] |= {"set": 2.0, "transfer": "transfer", "emn": ["fine-tuning", "transfer"]}
    toy.configure(**values)
    toy.run()
    output = tmp_path / "figures/toy"
    figures = [f"figure{number}.{form}" for number in range(1, 10) for form in ("pdf", "png")]
    for name in [
        *figures,
        "claims.md",
        *(f"table{number}.{form}" for number in range(1, 5) for form in ("tex", "pdf", "png")),
    ]:
        assert (output / name).stat().st_size > 500, name
    for name, table in values["tables"].items():
        cells = from_csv((output / f"{name}.csv").read_text())
        rows = {(cell.source, cell.scenario) for cell in cells}  # a path says all other choices
        assert len(rows) == len(table["rows"])
    assert toy.planned() == {}
    tables = [f"figures/toy/table{number}.csv" for number in range(1, 5)]
    done = toy.audit(*tables, "figures/toy/claims.md", "--configfile", "toy.yaml")
    assert done.returncode == 0, done.stderr
