"""The configurations that stand beside the demo's, put together as Snakemake does."""

import pytest
from featpoison import config
from featpoison.graph.defence_tables import DefenceTables
from featpoison.graph.transfers import Transfers
from helpers import ROOT

FOLDER = ROOT / "workflow/config"
BESIDE = sorted((FOLDER / "demo").glob("*.yaml"))


def beside(name: str) -> config.Config:
    return config.load(FOLDER / "demo.yaml", FOLDER / "demo" / f"{name}.yaml")


@pytest.mark.parametrize("name", [path.stem for path in BESIDE])
def test_each_has_a_place_of_its_own_and_says_how_it_is_asked_for(name):
    found = beside(name)
    assert found.output == f"figures/demo-{name}"
    head = (FOLDER / "demo" / f"{name}.yaml").read_text().partition("\noutput")[0]
    assert f"workflow/config/demo/{name}.yaml" in head
    assert found.output in head


def test_attacks_that_know_a_defence_are_in_the_table_of_all_defences_too():
    """So that both tables share their files, made with the same settings."""
    few, every = beside("adaptive"), beside("defences")
    assert few.attacks == every.attacks
    sources = [{row.source for row in DefenceTables(one).rows()} for one in (few, every)]
    assert sources[0] < sources[1]


def test_the_matrix_attacks_four_encoders_or_more():
    found = beside("transfer")
    attacked = {attacked for attacked, _ in Transfers(found).requests()}
    assert len(attacked) >= 4
    assert attacked <= set(found.transfer_matrix.encoders)
