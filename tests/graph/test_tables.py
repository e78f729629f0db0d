"""Titles of rows, and the cells that tables ask for."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from featpoison import config, store
from featpoison.graph.tables import Tables
from featpoison.results.cells import cells_of
from featpoison.results.rows import Row
from featpoison.results.samples import read_files
from helpers import RECORD, ROOT
from oracles.worlds import GC, World

TITLES = [
    (Row(method="gradpc-input"), "GradPC (input space)"),
    (Row(method="gc-input", set="free", target="gradpc-feature"), "GC-input"),
    (Row(method="gc-input", set="constrained", target="gradpc-feature"), "GC-input (constrained)"),
    (Row(method="gc-input", set="free", target="gradpc-input"), "GC-input (target gradpc-input)"),
    (
        Row(method="gc-input", set="free", target="gradpc-feature", defence="magnitude-filter"),
        "GC-input (magnitude filter)",
    ),
    (Row(method="gc-feature", set=2.0, target="gradpc-feature"), "GC-feature (cap 2)"),
    (
        Row(method="feature-matching", set="free", beta=0.25, target="gradpc-feature"),
        "Feature matching (beta = 0.25)",
    ),
    (
        Row(method="feature-matching", set=2.0, beta=0.05, target="gradpc-feature"),
        "Feature matching (beta = 0.05, cap 2)",
    ),
    (  # the paper has a name of its own
        Row(method="feature-matching", set="free", beta=0.1, defence="magnitude-filter"),
        "Feature matching-r (beta = 0.1)",
    ),
    (
        Row(method="feature-matching", set=2.0, beta=0.1, defence="magnitude-filter"),
        "Feature matching-r (beta = 0.1, cap 2)",
    ),
    (Row(method="emn-input", scenario="transfer"), "EMN, frozen encoder (transfer)"),
]


@pytest.fixture(scope="module")
def demo() -> Tables:
    return Tables(config.load(ROOT / "workflow/config/demo.yaml"))


@pytest.fixture(scope="module")
def paper() -> Tables:
    return Tables(config.load(ROOT / "workflow/config/paper.yaml"))


@pytest.mark.parametrize(("row", "title"), TITLES, ids=[title for _, title in TITLES])
def test_a_title_says_what_tells_rows_apart(demo, row, title):
    assert demo.title(row) == title


def test_what_no_publication_has_says_so(demo):
    for row in (Row(method="exact-feature", set=1.0), Row(method="exact-input", set="constrained")):
        assert demo.title(row).endswith("ours)")
    matched = demo.title(Row(method="exact-feature-matching", set=1.0, beta=0.1))
    assert matched.endswith("(beta = 0.1, cap 1, ours)")


@pytest.mark.parametrize("name", ["demo", "paper"])
def test_a_table_has_a_cell_for_each_row_and_budget(name, request):
    tables = request.getfixturevalue(name)
    for table, declared in tables.config.tables.items():
        requests = tables.requests(table)
        assert len(requests) == len(declared.rows) * len(declared.budgets)
        cells = {(one.title, one.eps_d) for one in requests}
        assert len(cells) == len(requests)  # no two rows of one name
        files = {(one.source, one.eps_d) for one in requests}  # a target head is the same at every budget
        assert len(files) == len(requests)


def test_a_cell_comes_from_the_file_of_its_row(demo):
    sources = {one.title: one for one in demo.requests("table3")}
    folder = (
        "data/victims/cifar10-5k/embedded-simclr-tiny-imagenet/feature-matching_cap2_beta0.1_gradpc-feature"
    )
    assert sources["Feature matching (beta = 0.1, cap 2)"].source == f"{folder}/none/eps0.03.h5"
    assert sources["Feature matching-r (beta = 0.1, cap 2)"].source == f"{folder}/magnitude-filter/eps0.03.h5"
    head = demo.requests("table1")[0]
    assert head.source == "data/targets/cifar10-5k/embedded-simclr-cifar10/gradpc-input.h5"
    assert (head.makes, head.row.scenario) == ("target", "fine-tuning")
    noise = demo.requests("table4")[-1]
    transfer = "data/victims/cifar10-5k/embedded-simclr-tiny-imagenet"
    assert noise.source == f"{transfer}/emn-input/none/epsinf.h5"
    assert (math.isinf(noise.eps_d), noise.row.scenario) == (True, "transfer")


def test_rows_of_all_tables_are_judged(demo):
    judged = demo.judged()
    assert len(judged["results"]) == sum(len(demo.requests(table)) for table in demo.config.tables)
    assert set(judged["scenarios"]) == {"fine-tuning", "transfer"}

    files = demo.judged_files(None)
    assert files == sorted(set(files))
    assert {result["source"] for result in judged["results"]} <= set(files)
    assert demo.judged_json(None).count('"inf"') == len(demo.requests("table4"))


def test_every_form_of_every_table_is_asked_for(demo):
    names = {
        f"figures/demo/table{number}.{form}"
        for number in (1, 2, 3, 4)
        for form in ("csv", "tex", "pdf", "png")
    }
    assert set(demo.table_files) == names
    assert demo.claim_files == ["figures/demo/claims.md"]


def test_a_table_needs_the_features_of_its_scenarios_and_clean_heads_to_compare_with(demo):
    own = {request.source for request in demo.requests("table1")}
    fine_tuning = "cifar10-5k/embedded-simclr-cifar10"
    shared = {f"data/features/{fine_tuning}.h5", f"data/heads/{fine_tuning}/clean.h5"}
    assert set(demo.table_inputs(SimpleNamespace(table="table1"))) == own | shared
    noise = {request.source for request in demo.requests("table4")}
    transfer = "cifar10-5k/embedded-simclr-tiny-imagenet"
    features = {f"data/features/{name}.h5" for name in (fine_tuning, transfer)}
    assert set(demo.table_inputs(SimpleNamespace(table="table4"))) == noise | features


def test_the_threshold_beside_a_row_is_that_of_its_own_target(tmp_path):
    """The evaluation stores it with the result; the scenario's target head has another."""
    world = World(tmp_path).add("fine-tuning", {GC: 0.3})
    path = Path(world.results[0]["source"])
    store.write(path, store.read(path), RECORD, tau=0.25)
    request = read_files(world.json).results[0]
    cells = cells_of(request, world.samples.scenario(request), None)
    assert {one.tau for one in cells} == {0.25}
