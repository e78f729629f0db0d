"""The graph itself, on a copy of the repository: what runs, what reruns after an edit, what a clone with
results does."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers import SNAKEMAKE, ran
from toy import POISON, PROFILE, RESULT, Toy, make_toy

MADE = (*(f"figure{number}" for number in (1, 2, 3, 4, 5, 6, 7, 9)), "reach")
AFTER_VICTIMS = {"table1.csv", "table1", "claims"}
MATCHING_AND_AFTER = AFTER_VICTIMS | {"poisons/feature-matching", "victims/feature-matching"}
MATCHING_AND_AFTER |= {f"figure{number}" for number in (1, 3, 5, 6, 7, 9)}
INVERTING_AND_AFTER = AFTER_VICTIMS | {"poisons/decoder-inversion", "victims/decoder-inversion"}
CANCELING_AND_AFTER = MATCHING_AND_AFTER | INVERTING_AND_AFTER
CANCELED = {"poisoned_features/gc-feature", "victims/gc-feature"}
CANCELING_AND_AFTER |= CANCELED | {"pairs/gc-feature"} | {"targets/reachable-bounded", "reach"}
SEARCHED = {f"targets/{name}" for name in ("reachable", "reachable-bounded", "permuted")} | {"reach"}
IN_INPUT_SPACE_AND_AFTER = AFTER_VICTIMS | {"poisons/gc-input", "victims/gc-input", "figure2"}
ATTACKED = ("gc-input", "gc-feature", "decoder-inversion", "feature-matching")
VICTIMS_AND_AFTER = AFTER_VICTIMS | {f"victims/{attack}" for attack in ATTACKED} | {"figure1", "figure2"}


def kinds(products: set[str]) -> set[str]:
    """Products by stage and attack, or by figure."""
    found = set()
    for product in products:
        stage, *rest = product.split("/")[1:]
        path = Path(product)
        if product.startswith("figures/"):
            found.add(path.name if path.suffix == ".csv" else path.stem)
        elif stage == "targets":
            found.add(f"{stage}/{rest[2].removesuffix('.h5')}")
        else:
            found.add(f"{stage}/{rest[2].split('_')[0]}" if len(rest) > 3 else stage)
    return found


def test_one_artefact_runs_only_its_ancestors(tmp_path):
    planned = make_toy(tmp_path).planned(POISON)
    assert planned == dict.fromkeys(
        [
            "fetch_dataset",
            "import_encoder",
            "extract_features",
            "train_heads",
            "make_target_head",
            "poison_features",
            "pair_features",
            "poison_images",
        ],
        1,
    )


def test_work_is_spread_over_jobs_only_where_asked(tmp_path):
    toy = make_toy(tmp_path)
    toy.configure(shards=5, feature_shards=3, evaluation_shards=2)
    planned = toy.planned(POISON, RESULT)

    def counts(*rules: str) -> list[int]:
        return [planned[rule] for rule in rules]

    assert counts("poison_shard", "gather_poisons") == [5, 1]
    assert planned["poison_images"] == 2  # of an attack whose rows depend on each other, one for each seed
    assert counts("extract_features", "gather_features") == [3, 1]
    assert counts("extract_quantized", "evaluate_attack") == [2, 1]


@pytest.mark.slow
def test_groups_of_cluster_jobs_do_not_wait_for_each_other_in_a_circle(tmp_path):
    """Where the work is spread, too: defended poisons, their 8-bit features, their victims."""
    toy = make_toy(tmp_path)
    rows = [
        {"method": "feature-matching", "beta": 0.25},
        {"method": "feature-matching", "beta": 0.25, "defence": "magnitude-filter"},
        {"method": "exact-feature-matching", "beta": 0.25},
    ]
    tables = {"table1": {"scenario": "fine-tuning", "budgets": [0.2], "rows": rows}}
    toy.configure(shards=2, feature_shards=2, evaluation_shards=2, tables=tables)
    planned = toy.planned("--profile", "workflow/profiles/slurm", "figures/toy/table1.csv")
    assert (planned["defend_poisons"], planned["extract_quantized"]) == (2, 6)


def test_everything_declared_is_made(finished):
    output = finished.folder / "figures/toy"
    names = {path.name for path in output.iterdir() if not path.name.endswith(".provenance.json")}
    tables = {f"table1.{form}" for form in ("csv", "tex", "pdf", "png")}
    assert names == tables | {f"{name}.{form}" for name in MADE for form in ("pdf", "png")} | {"claims.md"}
    rows = (output / "table1.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 + 5 * 2  # two target heads, five rows of attacks with two victims


@pytest.mark.slow
def test_a_figure_without_its_scenario_is_no_target(copy):
    config = copy.config
    del config["figures"]["transfer"]
    copy.configure(**config)
    shutil.rmtree(copy.folder / "figures")
    planned = copy.planned()
    assert "plot_anomalies" not in planned
    assert planned["plot_magnitudes"] == 1


def test_the_claims_are_judged_on_what_the_tables_declare(finished):
    page = (finished.folder / "figures/toy/claims.md").read_text()
    assert "## 8. GC-feature reaches its target at eps_d = 0.03" in page
    record = json.loads((finished.folder / "figures/toy/claims.md.provenance.json").read_text())
    table = json.loads((finished.folder / "figures/toy/table1.csv.provenance.json").read_text())
    assert record["inputs"].keys() == table["inputs"].keys() | {"data/features/toy/tiny.h5"}


def test_a_second_run_does_nothing(finished):
    assert Toy(finished.folder, plain=True).planned() == {}


def test_warm_jobs_leave_benchmarks_of_their_own(finished):
    logs = {path.relative_to(finished.folder / "logs") for path in (finished.folder / "logs").rglob("*.log")}
    made = finished.folder / "benchmarks"
    assert {path.relative_to(made).with_suffix(".log") for path in made.rglob("*.jsonl")} == logs
    for path in made.rglob("*.jsonl"):
        used = json.loads(path.read_text())
        assert used.keys() == {"s", "cpu_time", "max_rss"}
        assert min(used.values()) > 0


@pytest.mark.slow
def test_a_job_on_a_cluster_runs_plain_python(copy):
    """The variable may have come along."""
    name = "data/images/toy.h5"
    made = (copy.folder / name).read_bytes()
    done = copy.snakemake("--mode", "remote", "--cores", "1", "--force", name)
    assert done.returncode == 0, done.stderr
    assert (copy.folder / name).read_bytes() == made
    used = json.loads((copy.folder / "benchmarks/fetch_dataset/toy.jsonl").read_text())
    assert "mean_load" in used  # as Snakemake measures it


def test_a_clone_with_results_reruns_nothing(copy):
    """Other time stamps, same content."""
    for path in sorted(copy.folder.rglob("*"), reverse=True):
        if path.is_file() and ".snakemake" not in path.parts:
            path.touch()
    assert copy.planned() == {}


SLOW = pytest.mark.slow
EDITS = [
    ("scripts/featpoison/attacks/feature_matching.py", MATCHING_AND_AFTER),
    ("scripts/featpoison/downstream/metrics.py", VICTIMS_AND_AFTER),
    ("scripts/featpoison/papers/lu2024.py", AFTER_VICTIMS),
    ("scripts/featpoison/config/declared.py", set()),
    # Heads that were searched for, and of the attacks only that which aims at one of them.
    ("scripts/featpoison/attacks/target_search.py", SEARCHED | CANCELED | AFTER_VICTIMS),
    pytest.param("scripts/featpoison/attacks/permuted.py", {"targets/permuted", "reach"}, marks=SLOW),
    pytest.param("scripts/featpoison/attacks/gc_feature.py", CANCELING_AND_AFTER, marks=SLOW),
    pytest.param("scripts/featpoison/attacks/gc_input.py", IN_INPUT_SPACE_AND_AFTER, marks=SLOW),
    pytest.param(
        "scripts/featpoison/attacks/decoder_inversion.py",
        INVERTING_AND_AFTER | {"decoders", "reconstructions", "figure4"},
        marks=SLOW,
    ),
    pytest.param(
        "scripts/featpoison/attacks/gradpc_input.py",
        AFTER_VICTIMS | {"targets/gradpc-input"},
        marks=SLOW,
    ),
    pytest.param("scripts/featpoison/attacks/exact_bilevel.py", set(), marks=SLOW),
    pytest.param("scripts/featpoison/papers/lu2024_claims.py", {"claims"}, marks=SLOW),
    pytest.param("scripts/featpoison/render/magnitudes.py", {"figure6"}, marks=SLOW),
    pytest.param("scripts/featpoison/render/latex.py", {"table1"}, marks=SLOW),
    pytest.param("scripts/featpoison/pretraining/simclr.py", set(), marks=SLOW),
    pytest.param("scripts/featpoison/audit/lineage.py", set(), marks=SLOW),
    pytest.param(
        "scripts/poison_images.py",
        MATCHING_AND_AFTER | INVERTING_AND_AFTER | IN_INPUT_SPACE_AND_AFTER,
        marks=SLOW,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("edited", "expected"), EDITS)
def test_an_edit_reruns_what_follows_and_nothing_before(copy, edited, expected):
    """Of the attacks only the one that was edited, and an edit of measures, tables or claims runs none."""
    copy.append(edited)
    assert kinds(copy.remade()) == expected


def test_an_edit_of_words_reruns_nothing(copy):
    """Comments, docstrings and the layout of modules that all products are made by."""
    for name in ("records/provenance.py", "store.py", "attacks/feature_matching.py"):
        copy.append(f"scripts/featpoison/{name}", '\n\n# A comment.\n"""Words."""\n')
    module = copy.folder / "scripts/featpoison/softmax.py"
    text = module.read_text()
    assert "the bias last.\n" in text
    module.write_text(text.replace("the bias last.\n", "the bias comes last.\n"))
    assert copy.planned() == {}


@pytest.mark.parametrize(
    ("attack", "setting", "expected"),
    [
        ("feature_matching", {"steps": 6}, MATCHING_AND_AFTER),
        ("reachable_bounded", {"share": 0.9}, {"targets/reachable-bounded", "reach"}),
    ],
)
def test_a_changed_setting_reruns_what_uses_it(copy, attack, setting, expected):
    config = copy.config
    config["attacks"][attack] |= setting
    copy.configure(**config)
    assert kinds(copy.remade()) == expected


@pytest.mark.slow
def test_a_searched_head_belongs_to_a_budget_and_any_other_to_all(copy):
    """A second budget asks for a second head of each search, from the same trajectory."""
    config = copy.config
    config["tables"]["table1"]["budgets"] = [0.2, 0.4]
    copy.configure(**config)
    remade = copy.remade()
    heads = {path for path in remade if path.startswith("data/targets/")}
    names = ("reachable", "reachable-bounded", "permuted")
    assert heads == {f"data/targets/toy/tiny/{name}/eps0.4.h5" for name in names}
    assert not {path for path in remade if path.startswith(("data/heads/", "data/features/"))}
    aimed = "gc-feature_emittable2_reachable"
    assert f"data/poisoned_features/toy/tiny/{aimed}/eps0.4-seed0.h5" in remade
    assert f"data/poisoned_features/toy/tiny/{aimed}/eps0.2-seed0.h5" not in remade


@pytest.mark.slow
def test_base_labels_make_other_victims_of_the_same_poisons(copy):
    config = copy.config
    config["tables"]["table1"]["rows"].append({"method": "feature-matching", "beta": 0.25, "label": "base"})
    copy.configure(**config)
    remade = kinds(copy.remade("figures/toy/table1.csv"))
    assert remade == {"victims/feature-matching", "table1.csv"}


@pytest.mark.slow
def test_a_new_seed_runs_only_itself(copy):
    copy.configure(poison_seeds=[0, 1, 2])
    remade = {path for path in copy.remade() if "-seed" in path}
    assert {Path(path).stem for path in remade} == {"eps0.2-seed2"}
    assert {"poisons/feature-matching", "poisoned_features/gc-feature"} <= kinds(remade)


@pytest.mark.slow
def test_paper_and_demo_never_share_a_product():
    def outputs(config):
        done = ran(SNAKEMAKE, "--configfile", f"workflow/config/{config}.yaml", "--nolock", "--summary")
        assert done.returncode == 0, done.stderr
        return {line.split("\t")[0] for line in done.stdout.splitlines()[1:]}

    paper, demo = outputs("paper"), outputs("demo")
    assert len(paper) > 30
    assert len(demo) > 30
    assert not paper & demo


def test_the_paper_scenario_is_planned():
    targets = ["figures/table1.tex", "figures/table4.tex", "figures/figure8.pdf"]
    done = ran(SNAKEMAKE, *targets, "--dry-run", "--nolock", "--forceall", "--quiet", "reason")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "pretrain_encoder" in done.stdout + done.stderr


@pytest.mark.slow
def test_shards_do_not_change_a_bit(finished, copy):
    shutil.rmtree(copy.folder / "data/poisons")
    (copy.folder / RESULT).unlink()
    copy.configure(shards=3, evaluation_shards=3)
    copy.run(POISON, RESULT)
    for name in (POISON, RESULT):
        assert (copy.folder / name).read_bytes() == (finished.folder / name).read_bytes()
    assert not list((copy.folder / "data").rglob("*.shards/*"))


@pytest.mark.slow
def test_every_product_repeats_byte_for_byte_under_plain_python(finished, tmp_path):
    again = make_toy(tmp_path, plain=True)
    again.run()
    names = [
        path.relative_to(again.folder)
        for part in ("data", "figures")
        for path in (again.folder / part).rglob("*")
        if path.is_file()
    ]
    assert len(names) > 70
    for name in names:
        assert (again.folder / name).read_bytes() == (finished.folder / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("warm", ["0", "1"])
def test_a_run_needs_no_path(tmp_path, warm):
    """Nor any other variable: jobs run under the interpreter that runs Snakemake."""
    toy, name = make_toy(tmp_path), "data/encoders/tiny.safetensors"
    command = [SNAKEMAKE, *PROFILE, "--configfile", "toy.yaml", "--cores", "1", "--", name]
    done = subprocess.run(
        command,
        cwd=toy.folder,
        env={"FEATPOISON_WARM": warm, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (toy.folder / name).is_file()


@pytest.mark.slow
def test_a_failure_names_its_log_and_keeps_what_was_made(copy):
    config = copy.config
    config["victims"]["converged"] = {"iterations": 1}
    copy.configure(**config)
    done = copy.snakemake("--cores", "2", "figures/toy/table1.csv")
    assert done.returncode != 0
    assert "logs/train_heads/toy/tiny.log" in done.stdout + done.stderr
    assert "largest gradient entry" in done.stdout + done.stderr
    assert (copy.folder / POISON).is_file()
