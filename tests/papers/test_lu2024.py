"""The paper's printed numbers: every row is of a known attack, every table of a scenario."""

import csv
import math
from dataclasses import replace

import pytest
from featpoison.attacks import names
from featpoison.config import load
from featpoison.defences import names as defences
from featpoison.graph.tables import Tables
from featpoison.papers import lu2024
from featpoison.results.claims import Key
from featpoison.results.rows import Row
from helpers import ROOT

PUBLISHED = ROOT / "data/published/published_results.csv"


@pytest.fixture(scope="module")
def lines():
    with open(PUBLISHED, newline="") as file:
        return list(csv.DictReader(file))


def test_every_line_is_read_in_order(lines):
    found = lu2024.read_printed(PUBLISHED)
    assert len(found) == len(lines) == 136
    assert [(one.table, one.drop) for one in found] == [
        (int(line["table"]), float(line["accuracy_drop"])) for line in lines
    ]
    for line, one in zip(lines, found, strict=True):
        assert line["method"].startswith(one.key.method)
        assert one.key.eps_d == float(line["eps_d"])
        assert one.key.beta == (float(line["beta"]) if line["beta"] else None)


def test_every_row_is_of_a_known_attack_with_choices_that_it_has():
    for printed in lu2024.read_printed(PUBLISHED):
        key, attack = printed.key, names.load(printed.key.method)
        assert not attack.ours, key
        assert key.set in (attack.sets or (None,)), key
        assert (key.beta is not None) == attack.has_beta, key
        assert key.defence in (None, *defences.NAMES), key
        assert math.isinf(key.eps_d) == (attack.makes == "noise"), key


def test_names_of_printed_rows_are_those_of_attacks_with_a_remark():
    remarks = {"-constrained": ("constrained", None), "-r": ("free", "magnitude-filter")}
    for name, row in lu2024.ROWS.items():
        remark = name.removeprefix(row.method)
        if remark:
            assert (row.set, row.defence) == remarks[remark], name
        else:
            usual = names.load(name).sets
            assert (row.set, row.defence) == (usual[0] if usual else None, None), name
    assert len(set(lu2024.ROWS.values())) == len(lu2024.ROWS)


def test_every_table_has_its_scenario(lines):
    """All but Table 4 have one; Table 4 names it in its rows. The paper's configuration has all of them."""
    tables = {int(line["table"]) for line in lines}
    assert tables - set(lu2024.SCENARIOS) == {4}
    assert all("/" in line["method"] for line in lines if line["table"] == "4")
    known = load(ROOT / "workflow/config/paper.yaml").scenarios
    assert {printed.key.scenario for printed in lu2024.read_printed(PUBLISHED)} <= set(known)
    assert set(lu2024.SCENARIOS.values()) <= set(known)


def test_tables_of_the_papers_configuration_are_in_its_scenarios():
    for name, table in load(ROOT / "workflow/config/paper.yaml").tables.items():
        number = int(name.removeprefix("table"))
        if number in lu2024.SCENARIOS:
            assert table.scenario == lu2024.SCENARIOS[number]


def test_every_printed_cell_stands_beside_one_of_ours():
    """The paper's configuration declares a cell for every printed number, and none of them is looked up in
    vain."""
    tables = Tables(load(ROOT / "workflow/config/paper.yaml"))
    for table in tables.config.tables:
        printed = lu2024.drops_of_table(PUBLISHED, int(table.removeprefix("table")))
        ours = [lu2024.as_printed(lu2024_key(request)) for request in tables.requests(table)]
        assert set(printed) <= set(ours), table


def lu2024_key(request):
    row = request.row
    return Key(eps_d=request.eps_d, **row.model_dump())


def test_numbers_of_a_table_are_those_that_are_printed():
    """Read from the paper's Tables 1, 2 and 3."""
    first, third = (lu2024.drops_of_table(PUBLISHED, number) for number in (1, 3))
    assert first[Key("fine-tuning", "feature-matching", 0.05, 1.0, "free")] == 26.52
    assert first[Key("fine-tuning", "gc-feature", None, 0.03, "free")] == 36.61
    assert len(first) == 44
    assert len(third) == 4
    assert {key.defence for key in third} == {None, "magnitude-filter"}
    assert {key.scenario for key in third} == {"transfer"}


def test_ours_stand_beside_what_the_paper_printed_whatever_their_cap_and_target():
    key = Key("transfer", "gc-feature", None, 0.03, 2.0, None, "gradpc-feature")
    assert lu2024.as_printed(key) == Key("transfer", "gc-feature", None, 0.03, "free")
    kept = Key("transfer", "gc-input", None, 0.03, "constrained", "magnitude-filter", "gradpc-input")
    assert lu2024.as_printed(kept) == Key(
        "transfer", "gc-input", None, 0.03, "constrained", "magnitude-filter"
    )


def test_emittable_features_stand_beside_the_papers_and_other_pairings_and_labels_do_not():
    own = Key("transfer", "feature-matching", 0.1, 0.03, "emittable", None, "reachable", cap=4.0)
    assert lu2024.as_printed(own) == Key("transfer", "feature-matching", 0.1, 0.03, "free")
    printed = lu2024.drops(PUBLISHED)
    assert lu2024.as_printed(own) in printed
    for change in ({"pairing": "within-class"}, {"label": "base"}):
        assert lu2024.as_printed(replace(own, **change)) not in printed


def test_only_filtered_matching_has_a_name_of_its_own_in_the_paper():
    filtered = Row(method="feature-matching", set="free", beta=0.25, defence="magnitude-filter")
    assert lu2024.title_of(filtered) == "Feature matching-r"
    assert lu2024.title_of(filtered.model_copy(update={"set": 2.0})) == "Feature matching-r"
    for other in ({"defence": None}, {"set": "constrained"}, {"method": "gc-input"}):
        assert lu2024.title_of(filtered.model_copy(update=other)) is None


def test_a_row_or_table_that_the_paper_does_not_have_is_an_error(tmp_path):
    for table, method in (("1", "best-attack"), ("9", "gc-input")):
        path = tmp_path / f"{table}.csv"
        path.write_text(f"table,method,beta,eps_d,accuracy_drop\n{table},{method},,0.03,1\n")
        with pytest.raises(KeyError):
            lu2024.read_printed(path)
