"""The table of defences through the real graph, on a toy of its own."""

import json

import pytest
from featpoison.results.csv_text import from_csv
from featpoison.results.defence_cells import DefenceCell
from toy import Toy, make_toy

TABLE = {
    "scenario": "fine-tuning",
    "budgets": [0.2],
    "defences": ["norm-filter", "cosine-head", "blur"],
    "rows": [{"method": "gc-feature"}, {"method": "feature-matching", "beta": 0.25, "defences": ["blur"]}],
}
OUTPUT = "figures/toy/defences"


@pytest.fixture
def toy(tmp_path) -> Toy:
    made = make_toy(tmp_path)
    made.configure(defence_table=TABLE)
    return made


@pytest.mark.slow
def test_the_table_needs_its_evaluations_and_no_image_defence_for_features(toy):
    jobs = toy.planned(f"{OUTPUT}.csv", f"{OUTPUT}.tex")
    expected = {
        "evaluate_defence": 3,
        "evaluate_clean_defence": 3,
        "transform_features": 1,
        "collect_defences": 1,
        "render_defences": 1,
    }
    assert {name: jobs.get(name) for name in expected} == expected
    assert "defend_poisons" not in jobs


def test_an_unknown_defence_is_named_before_anything_runs(toy):
    toy.configure(defence_table=TABLE | {"defences": ["prayer"]})
    done = toy.snakemake("--dry-run")
    assert done.returncode != 0
    assert "'prayer' is unknown, expected one of magnitude-filter, norm-filter" in done.stdout + done.stderr


@pytest.mark.slow
def test_the_table_is_made_and_audited(toy):
    toy.run(f"{OUTPUT}.csv", f"{OUTPUT}.tex", f"{OUTPUT}.png")
    cells = from_csv(DefenceCell, (toy.folder / f"{OUTPUT}.csv").read_text())
    assert [(cell.method, cell.defence, cell.victim) for cell in cells] == [
        (method, defence, victim)
        for method, defence in (
            ("gc-feature", "norm-filter"),
            ("gc-feature", "cosine-head"),
            ("feature-matching", "blur"),
        )
        for victim in ("sgd100", "converged")
    ]
    assert all((cell.recall is None) == (cell.defence != "norm-filter") for cell in cells)
    seconds = toy.folder / cells[0].source.replace(".h5", ".seconds.json")
    assert len(json.loads(seconds.read_text())) == 2
    audited = toy.audit(f"{OUTPUT}.csv", "--configfile", "toy.yaml")
    assert audited.returncode == 0, audited.stderr
    toy.configure(defences={"norm_filter": {"deviations": 2.0}})
    changed = toy.audit(f"{OUTPUT}.csv", "--configfile", "toy.yaml")
    assert "defences.norm_filter.deviations is 2.0 in the configuration, 3.0 in the record" in changed.stderr
    assert toy.planned(f"{OUTPUT}.csv") == {
        "evaluate_defence": 1,
        "evaluate_clean_defence": 1,
        "collect_defences": 1,
    }
