"""Titles of rows, and the cells that tables ask for."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from featpoison import config, store
from featpoison.graph.paths import PUBLISHED
from featpoison.graph.tables import Tables
from featpoison.results.cells import cells_of
from featpoison.results.rows import Row
from featpoison.results.samples import read_files
from helpers import RECORD, ROOT
from oracles.worlds import GC, World

TITLES = [
    (Row(method="gradpc-input"), "GradPC (input space)"),
    (Row(method="gc-input", set="free", target="gradpc-feature"), "GC-input"),
    (Row(method="gc-input", set="constrained", target="gradpc-feature"), "GC-input"),
    (Row(method="gc-input", set="free", target="gradpc-input"), "GC-input"),
    (
        Row(method="gc-input", set="free", target="gradpc-feature", defence="magnitude-filter"),
        "GC-input (magnitude filter)",
    ),
    (Row(method="gc-feature", set=2.0, target="gradpc-feature"), "GC-feature"),
    (
        Row(method="feature-matching", set="free", beta=0.25, target="gradpc-feature"),
        "Feature matching (beta = 0.25)",
    ),
    (
        Row(method="feature-matching", set=2.0, beta=0.05, target="gradpc-feature"),
        "Feature matching (beta = 0.05)",
    ),
    (  # the paper has a name of its own
        Row(method="feature-matching", set="free", beta=0.1, defence="magnitude-filter"),
        "Feature matching-r (beta = 0.1)",
    ),
    (
        Row(method="feature-matching", set=2.0, beta=0.1, defence="magnitude-filter"),
        "Feature matching-r (beta = 0.1)",
    ),
    (
        Row(method="feature-matching", set="free", beta=0.1, target="reachable", pairing="within-class"),
        "Feature matching (beta = 0.1, within class)",
    ),
    (
        Row(method="feature-matching", set="free", beta=0.1, target="reachable", label="base"),
        "Feature matching (beta = 0.1, base labels)",
    ),
    (Row(method="reachable"), "Reachable target (ours)"),
    (Row(method="mislabelled-next"), "Baseline: wrong labels, next class"),
    (
        Row(method="mislabelled-random", defence="magnitude-filter"),
        "Baseline: wrong labels, random (magnitude filter)",
    ),
    (Row(method="emn-input", scenario="transfer"), "EMN, frozen encoder (transfer)"),
]


@pytest.fixture(scope="module")
def demo() -> Tables:
    return Tables(config.load(ROOT / "workflow/config/demo.yaml"))


@pytest.fixture(scope="module")
def paper() -> Tables:
    return Tables(config.load(ROOT / "workflow/config/paper.yaml"))


@pytest.mark.parametrize(("row", "title"), TITLES, ids=[row.choice.segment for row, _ in TITLES])
def test_a_title_says_what_tells_rows_apart(demo, row, title):
    assert demo.title(row) == title


def test_what_no_publication_has_says_so(demo):
    for row in (Row(method="exact-feature", set=1.0), Row(method="exact-input", set="constrained")):
        assert demo.title(row).endswith("ours)")
    matched = demo.title(Row(method="exact-feature-matching", set=1.0, beta=0.1))
    assert matched.endswith("(beta = 0.1, ours)")


@pytest.mark.parametrize("name", ["demo", "paper"])
def test_a_table_has_a_cell_for_each_row_and_budget(name, request):
    tables = request.getfixturevalue(name)
    for table, declared in tables.config.tables.items():
        requests = tables.requests(table)
        assert len(requests) == sum(len(declared.budgets_of(row)) for row in declared.rows)
        words = {(one.title, one.row.set, one.row.cap, one.row.target, one.eps_d) for one in requests}
        assert len(words) == len(requests)  # no two rows of one name, set and target
        files = {(one.source, one.eps_d) for one in requests}  # a target head is the same at every budget
        assert len(files) == len(requests)


def test_a_cell_comes_from_the_file_of_its_row(demo):
    sources = {one.title: one.source for one in demo.requests("table3")}
    attack = "feature-matching_emittable4_beta0.1_reachable-bounded"
    folder = f"data/victims/cifar10-5k/embedded-simclr-tiny-imagenet/{attack}"
    assert sources["Feature matching (beta = 0.1)"] == f"{folder}/none/eps0.03.h5"
    assert sources["Feature matching-r (beta = 0.1)"] == f"{folder}/magnitude-filter/eps0.03.h5"
    head = demo.requests("table1")[0]
    assert head.source == "data/targets/cifar10-5k/embedded-simclr-cifar10/gradpc-input.h5"
    assert (head.makes, head.row.scenario) == ("target", "fine-tuning")
    heads = [one for one in demo.requests("table1") if one.row.method == "reachable"]
    folder = "data/targets/cifar10-5k/embedded-simclr-cifar10/reachable"
    assert [one.source for one in heads] == [f"{folder}/eps0.03.h5", f"{folder}/eps0.1.h5"]
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


def test_a_table_reads_the_targets_of_its_rows_at_their_budgets(demo):
    class Wildcards:
        table = "table1"

    found = demo.table_targets(Wildcards)
    assert len(set(found)) == len(found)
    folder = "data/targets/cifar10-5k/embedded-simclr-cifar10"
    for name in ("reachable", "permuted", "reachable-bounded"):
        assert {f"{folder}/{name}/eps{budget}.h5" for budget in ("0.03", "0.1")} <= set(found)
    assert {f"{folder}/{name}.h5" for name in ("gradpc-input", "gradpc-minibatch", "gradpc-feature")} <= set(
        found
    )


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


def test_a_partial_table_shows_what_is_there_and_names_the_rest(demo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where there is nothing
    partial = Tables(demo.config.model_copy(update={"partial": True}))
    assert partial.table_files == partial.claim_files == []
    with pytest.raises(ValueError, match="table1: none of its results is there yet"):
        partial.table_json(SimpleNamespace(table="table1"))

    first, second, *others = (
        one for one in demo.requests("table1") if one.row.method in ("reachable", "exact-feature")
    )
    assert [one.eps_d for one in (first, second, others[0])] == [0.03, 0.1, 0.03]
    for one in (first, second):
        Path(one.source).parent.mkdir(parents=True, exist_ok=True)
        Path(one.source).touch()
    assert partial.requests("table1") == []  # target heads without victims
    Path(others[0].source).parent.mkdir(parents=True)
    Path(others[0].source).touch()
    ready = [first, others[0]]
    assert partial.requests("table1") == ready
    assert {path.split("/")[-1].split(".")[0] for path in partial.table_files} == {"table1"}
    assert [one["source"] for one in partial.judged()["results"]] == [one.source for one in ready]

    missing = partial.missing(SimpleNamespace(table="table1"))
    assert "Exact bilevel, features (ours) norm 1 at eps_d = 0.1" in missing
    assert "Permuted head (ours) at eps_d = 0.03 and 0.1" in missing
    assert "Reachable target (ours) at eps_d = 0.1" in missing
    assert demo.missing(SimpleNamespace(table="table1")) == []


def test_only_tables_that_say_so_stand_beside_the_papers():
    """A table of the same number on other data does not, and without any there is no page of its claims."""
    demo = config.load(ROOT / "workflow/config/demo.yaml")
    known = SimpleNamespace(table="table1")
    assert Tables(demo).published(known) == [PUBLISHED]
    assert Tables(demo).claim_files == ["figures/demo/claims.md"]
    own = {name: table.model_copy(update={"paper": None}) for name, table in demo.tables.items()}
    mine = Tables(demo.model_copy(update={"tables": own}))
    assert mine.published(known) == mine.claim_files == []
    mixed = Tables(demo.model_copy(update={"tables": own | {"table2": demo.tables["table2"]}}))
    assert mixed.published(known) == []
    assert mixed.claim_files
