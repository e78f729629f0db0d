"""The table of defences: rows, files and arguments of its steps."""

import json

import pytest
import yaml
from featpoison import config
from featpoison.attacks.operations import Sizes
from featpoison.costs import plan
from featpoison.costs.plan import PlannedJob
from featpoison.defences import names
from featpoison.graph.defence_tables import TRANSFORMING, DefenceTables
from featpoison.records import provenance
from helpers import ROOT
from test_steps import FILES, HERE, Wildcards, wildcards

MATCHED = "feature-matching_emittable4_beta0.1_reachable-bounded"
CANCELED = "gc-feature_emittable4_reachable-bounded"


def tables(**changes) -> DefenceTables:
    values = yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())
    own = values["defence_table"]
    return DefenceTables(config.parse(values | {"defence_table": own | changes}, "demo.yaml"))


def test_there_is_a_row_for_each_attack_budget_and_defence():
    rows = tables().rows()
    words = [(row.attack.row.choice.segment, row.attack.eps_d, row.defence) for row in rows]
    assert len(set(words)) == len(words)
    defences = tables().config.defence_table.defences
    assert [word for word in words if word[0] == MATCHED] == [(MATCHED, 0.1, name) for name in defences]
    assert [word[2] for word in words if word[:2] == (CANCELED, 0.03)] == [
        "norm-filter",
        "spectral-signatures",
    ]
    (row,) = [row for row in rows if row.source.endswith(f"{CANCELED}/norm-filter/eps0.03.h5")]
    assert row.attack.source == f"data/victims/{HERE}/{CANCELED}/none/eps0.03.h5"
    assert row.clean == f"data/defended_heads/{HERE}/norm-filter.h5"
    assert row.seconds == row.source.removesuffix(".h5") + ".seconds.json"
    assert row.title == "norm filter"
    assert set(row.files) <= set(tables().result_files(Wildcards()))


def test_defences_that_look_at_images_are_left_out_where_there_are_none():
    rows = [{"method": "exact-feature"}, {"method": "feature-matching", "beta": 0.1}]
    own = tables(defences=["magnitude-filter", "jpeg", "cosine-head"], rows=rows)
    tried = {row.attack.row.method: set() for row in own.rows()}
    for row in own.rows():
        tried[row.attack.row.method].add(row.defence)
    assert tried["exact-feature"] == {"cosine-head"}
    assert tried["feature-matching"] == {"magnitude-filter", "jpeg", "cosine-head"}


def test_a_configuration_without_the_table_has_no_files():
    values = yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())
    own = DefenceTables(config.parse(values | {"defence_table": None}, "demo.yaml"))
    assert own.files == []
    with pytest.raises(ValueError, match="defence_table is null, expected the table"):
        own.rows()
    assert len(tables().files) == 4


def test_an_evaluation_reads_poisons_of_all_seeds_and_what_its_defence_needs():
    own, asked = tables(), wildcards(attack=MATCHED, budget="0.1", defence="jpeg")
    poisons = [f"data/poisons/{HERE}/{MATCHED}/eps0.1-seed{seed}.h5" for seed in (0, 1)]
    expected = {
        "features": FILES["features"],
        "encoder": FILES["encoder"],
        "transformed": f"data/transformed/{HERE}/jpeg.h5",
        "poisons": poisons,
    }
    assert own.inputs(asked) == expected
    options = own.options(asked)
    assert options[:2] == ["--defence", "jpeg"]
    assert json.loads(options[options.index("--settings") + 1]) == {"quality": 75}
    assert json.loads(options[options.index("--victims") + 1])["seeds"] == [0, 1]
    assert options[-6:] == ["--poisons", *poisons, "--poison-seeds", "0", "1"]


def test_a_clean_training_set_has_no_poisons():
    own, asked = tables(), wildcards(defence="sever")
    assert own.inputs(asked) == {"features": FILES["features"]}
    assert "--poisons" not in own.options(asked)
    assert "--poison-seeds" not in own.options(asked)


def test_poisons_with_the_labels_of_their_bases_are_the_same_files():
    plain, based = (
        wildcards(attack=f"feature-matching_cap2_beta0.1{rule}_gradpc-feature", budget="0.1", defence="sever")
        for rule in ("", "_base-label")
    )
    own = tables()
    assert own.inputs(plain) == own.inputs(based)
    assert own.options(based) == [*own.options(plain), "--base-labels"]


@pytest.mark.parametrize("name", names.NAMES)
def test_of_the_defences_the_chosen_one_alone_is_code(name):
    chosen = provenance.module_file(names.module_of(name))
    program = provenance.SCRIPTS / "evaluate_defence.py"
    files = [provenance.relative(path) for path in provenance.import_closure(program, chosen)]
    version = tables().code_of("evaluate_defence.py")(wildcards(defence=name))
    assert version == provenance.code_version(program, chosen)
    own = {path.stem for path in (ROOT / "scripts/featpoison/defences").glob("*.py")} & {
        other.replace("-", "_") for other in names.NAMES
    }
    found = {path.rsplit("/", 1)[1].removesuffix(".py") for path in files if "/defences/" in path}
    assert found & own == {name.replace("-", "_")}
    assert not [path for path in files if "/graph/" in path or "/config" in path or "/attacks/" in path]


def test_plans_know_the_steps():
    demo = tables().config
    place = {"dataset": "cifar10-5k", "encoder": "embedded-simclr-cifar10", "defence": "sever"}
    poisoned = place | {"attack": CANCELED, "budget": "0.1"}

    def sizing(dataset, encoder):
        return Sizes(5000, 2000, 32, 10, 128, 1e7)

    jobs = [PlannedJob("evaluate_clean_defence", place), PlannedJob("evaluate_defence", poisoned)]
    clean, both = (plan.work_of(job, demo, sizing) for job in jobs)
    assert 2 * clean.flops < both.flops < 2.5 * clean.flops  # two seeds, a tenth more rows
    assert plan.memory_of(jobs[1], demo, sizing) > plan.memory_of(jobs[0], demo, sizing) > 5000 * 128 * 4
    for name in TRANSFORMING:
        job = PlannedJob("transform_features", place | {"defence": name})
        assert plan.work_of(job, demo, sizing).flops >= 7000 * 1e7


def test_no_argument_is_longer_than_a_system_takes():
    """Linux: 128 KiB each, and 2 MiB together with the environment."""
    large = DefenceTables(config.load(ROOT / "workflow/config/cifar10.yaml"))
    told = large.rows_json(wildcards())
    assert [json.loads(row)["defence"] for row in told] == [row.defence for row in large.rows()]
    assert max(map(len, told)) < 1 << 12
    assert sum(map(len, told)) < 1 << 20
