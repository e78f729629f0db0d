"""Table 4 and Figure 8 in the graph, on the toy copy."""

import json

import pytest
import yaml
from featpoison import config
from featpoison.config import ConfigError
from featpoison.results.cells import from_csv
from helpers import ROOT
from toy import Toy, make_toy

ROWS = [
    {"method": "emn-end-to-end"},
    {"method": "emn-input"},
    {"method": "emn-input", "scenario": "transfer"},
]
EMN = {
    "max_rounds": 2,
    "steps": 2,
    "training_steps": 2,
    "images_per_class": 8,
    "training": {"batch_size": 16},
}


def with_emn(folder) -> Toy:
    toy = make_toy(folder)
    values = toy.config
    values["scenarios"]["transfer"] = values["scenarios"]["fine-tuning"]
    values["attacks"]["emn"] = EMN
    values["network_victims"] = {"epochs": 1, "seeds": [0]}
    table = {"paper": "lu2024", "scenario": "fine-tuning", "budgets": [float("inf")], "rows": ROWS}
    values["tables"] = {"table4": table}
    values["figures"] |= {"emn": ["fine-tuning", "transfer"]}
    toy.configure(**values)
    return toy


@pytest.mark.slow
def test_a_table_of_emn_needs_neither_heads_nor_targets(tmp_path):
    planned = with_emn(tmp_path).planned("figures/toy/table4.csv")
    once = dict.fromkeys(["fetch_dataset", "import_encoder", "extract_features", "collect_table"], 1)
    # Two variants, two seeds; two scenarios that are one.
    assert planned == once | {"make_emn_noise": 2 * 2, "evaluate_emn": 2}


@pytest.mark.slow
def test_table_4_and_figure_8_are_made_and_audited(tmp_path):
    toy = with_emn(tmp_path)
    toy.run("figures/toy/table4.csv", "figures/toy/table4.tex", "figures/toy/figure8.png")
    cells = from_csv((tmp_path / "figures/toy/table4.csv").read_text())
    assert [(cell.method, cell.scenario, cell.victim) for cell in cells] == [
        ("emn-end-to-end", "fine-tuning", "network"),
        *(("emn-input", "fine-tuning", victim) for victim in ("sgd100", "converged")),
        *(("emn-input", "transfer", victim) for victim in ("sgd100", "converged")),
    ]
    assert all(cell.published_drop is not None for cell in cells)
    assert r"\infty" in (tmp_path / "figures/toy/table4.tex").read_text()
    record = json.loads((tmp_path / "figures/toy/table4.csv.provenance.json").read_text())
    assert not any("heads" in name or "targets" in name for name in record["inputs"])
    done = toy.audit("figures/toy/table4.csv", "figures/toy/figure8.png")
    assert done.returncode == 0, done.stderr
    for cell, text in (
        ("emn-input,inf,transfer", "stored heads"),
        ("emn-end-to-end,inf,fine-tuning", "whole networks are not stored"),
    ):
        done = toy.audit("figures/toy/table4.csv", "--cell", cell)
        assert done.returncode == 0, done.stderr
        assert text in done.stdout
    assert toy.planned("figures/toy/table4.tex", "figures/toy/figure8.png") == {}
    name = "data/emn/toy/tiny/emn-end-to-end/seed1.h5"
    before = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    toy.run(name)
    assert (tmp_path / name).read_bytes() == before


WRONG = [
    ([0.03], ROWS, r"tables\.table4: .*budgets \[0\.03\] do not fit emn-end-to-end, expected \.inf for EMN"),
    (
        [float("inf")],
        [{"method": "gc-feature"}],
        r"do not fit gc-feature, expected .*finite ones for the others",
    ),
    (
        [float("inf")],
        [{"method": "emn-input", "scenario": "moon"}],
        r"tables\.table4\.rows\.0\.scenario: 'moon' is unknown",
    ),
    ([0.03], [{"method": "gc-feature", "scenario": "transfer"}], "'scenario' is 'transfer', expected none"),
    ([float("nan")], ROWS, r"budgets\.0: .*greater than 0"),
]


@pytest.mark.parametrize(("budgets", "rows", "message"), WRONG)
def test_wrong_tables_are_named(budgets, rows, message):
    values = yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())
    values["tables"]["table4"] |= {"budgets": budgets, "rows": rows}
    with pytest.raises(ConfigError, match=message):
        config.parse(values, "demo.yaml")


def test_unknown_scenarios_of_figure_8_are_named():
    values = yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())
    values["figures"]["emn"] = ["moon"]
    with pytest.raises(ConfigError, match=r"figures\.emn: 'moon' is unknown"):
        config.parse(values, "demo.yaml")


def test_the_paper_holds_the_papers_emn():
    emn = config.load(ROOT / "workflow/config/paper.yaml").attacks.emn
    assert (emn.radius, emn.step_size, emn.steps) == (8, 0.8, 20)
    assert (emn.training_steps, emn.stop_error) == (10, 0.01)
    assert emn.images_per_class is None
