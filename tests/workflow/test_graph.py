"""The graph itself, on a copy of the repository: what runs, what reruns after an edit, what a clone with results does."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers import ROOT
from toy import Toy, make_toy

MATCHING_AND_AFTER = {"match_features", "gather_shards", "evaluate_images", "collect_table", "render_table", "judge_claims"}
FIGURES = {"plot_threat_model", "plot_stages", "plot_poisons", "plot_magnitudes", "plot_anomalies", "plot_perturbations"}
MADE = (1, 2, 3, 4, 5, 6, 7, 9)
CANCELING_AND_AFTER = MATCHING_AND_AFTER | FIGURES | {"cancel_gradient", "evaluate_features", "pair_features", "invert_features"}
INVERTING_AND_AFTER = {"invert_features", "evaluate_images", "collect_table", "render_table", "judge_claims"}
POISON = "data/poisons/toy/tiny/feature-matching-beta0.25/eps0.2-seed1.h5"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Toy:
    toy = make_toy(tmp_path_factory.mktemp("toy"))
    toy.run()
    return toy


@pytest.fixture
def copy(finished, tmp_path) -> Toy:
    """A copy of the finished run that a test may spoil: what a clone with shipped results is."""
    shutil.copytree(finished.folder, tmp_path / "copy", symlinks=True, copy_function=shutil.copy)
    return Toy(tmp_path / "copy")


def audit(toy: Toy, *paths: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "scripts/audit.py", *paths], cwd=toy.folder, capture_output=True, text=True, check=False)


def append(toy: Toy, name: str, text: str = "\n# edited\n") -> None:
    with open(toy.folder / name, "a") as file:
        file.write(text)


def test_one_artefact_runs_only_its_ancestors(tmp_path):
    planned = make_toy(tmp_path).planned(POISON)
    assert planned == dict.fromkeys(
        [
            "fetch_dataset",
            "import_encoder",
            "extract_features",
            "train_heads",
            "make_target_head",
            "cancel_gradient",
            "pair_features",
            "match_features",
            "gather_shards",
        ],
        1,
    )


def test_extraction_is_spread_over_jobs_only_where_asked(tmp_path):
    toy = make_toy(tmp_path)
    toy.configure(feature_shards=3)
    before = {"fetch_dataset": 1, "import_encoder": 1}
    assert toy.planned("data/features/toy/tiny.h5") == before | {"extract_features": 3, "gather_features": 1}


def test_everything_declared_is_made(finished):
    output = finished.folder / "figures/toy"
    names = {path.name for path in output.iterdir() if not path.name.endswith(".provenance.json")}
    tables = {f"table1.{form}" for form in ("csv", "tex", "pdf", "png")}
    assert names == tables | {f"figure{n}.{form}" for n in MADE for form in ("pdf", "png")} | {"claims.md"}
    rows = (output / "table1.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 + 4 * 2  # two target heads, four attacks with two victims


def test_a_figure_without_its_scenario_is_no_target(copy):
    config = yaml.safe_load((copy.folder / "toy.yaml").read_text())
    del config["figures"]["transfer"]
    copy.configure(**config)
    shutil.rmtree(copy.folder / "figures")
    planned = copy.planned()
    assert "plot_anomalies" not in planned
    assert planned["plot_magnitudes"] == 1


def test_the_claims_are_judged_on_what_the_tables_declare(finished):
    page = (finished.folder / "figures/toy/claims.md").read_text()
    assert "Reachability threshold tau of the target heads: fine-tuning 0." in page
    record = json.loads((finished.folder / "figures/toy/claims.md.provenance.json").read_text())
    table = json.loads((finished.folder / "figures/toy/table1.csv.provenance.json").read_text())
    assert record["inputs"].keys() == table["inputs"].keys() | {"data/features/toy/tiny.h5"}


def test_a_second_run_does_nothing(finished):
    assert finished.planned() == {}


def test_a_clone_with_results_reruns_nothing(copy):
    """Other time stamps, same content."""
    for path in sorted(copy.folder.rglob("*"), reverse=True):
        if path.is_file() and ".snakemake" not in path.parts:
            path.touch()
    assert copy.planned() == {}


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        ("scripts/featpoison/attacks/feature_matching.py", MATCHING_AND_AFTER | FIGURES),
        ("scripts/featpoison/render/magnitudes.py", {"plot_magnitudes"}),
        ("scripts/featpoison/config.py", set()),
        pytest.param("scripts/invert_features.py", INVERTING_AND_AFTER, marks=pytest.mark.slow),
        pytest.param(
            "scripts/featpoison/attacks/decoder_inversion.py",
            INVERTING_AND_AFTER | {"train_decoder", "reconstruct_images", "plot_reconstructions"},
            marks=pytest.mark.slow,
        ),
        pytest.param("scripts/match_features.py", MATCHING_AND_AFTER | FIGURES, marks=pytest.mark.slow),
        pytest.param("scripts/featpoison/attacks/gradient_canceling.py", CANCELING_AND_AFTER, marks=pytest.mark.slow),
        pytest.param("scripts/featpoison/render/latex.py", {"render_table"}, marks=pytest.mark.slow),
        pytest.param("scripts/featpoison/pretraining/simclr.py", set(), marks=pytest.mark.slow),
    ],
)
def test_an_edit_reruns_what_follows_and_nothing_before(copy, edited, expected):
    append(copy, edited)
    assert set(copy.planned()) == expected


def test_a_changed_setting_reruns_what_uses_it(copy):
    config = yaml.safe_load((copy.folder / "toy.yaml").read_text())
    config["attacks"]["feature_matching"]["steps"] = 6
    copy.configure(**config)
    assert set(copy.planned()) == MATCHING_AND_AFTER | FIGURES


@pytest.mark.slow
def test_a_new_seed_runs_only_itself(copy):
    copy.configure(poison_seeds=[0, 1, 2])
    planned = copy.planned()
    assert (planned["match_features"], planned["cancel_gradient"]) == (1, 1)  # the new seed only


@pytest.mark.slow
def test_paper_and_demo_never_share_a_product():
    def outputs(config):
        command = [sys.executable, "-m", "snakemake", "--configfile", f"workflow/config/{config}.yaml", "--nolock", "--summary"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return {line.split("\t")[0] for line in done.stdout.splitlines()[1:]}

    paper, demo = outputs("paper"), outputs("demo")
    assert len(paper) > 30
    assert len(demo) > 30
    assert not paper & demo


def test_the_paper_scenario_is_planned():
    targets = ["figures/table1.tex", "figures/table4.tex", "figures/figure8.pdf"]
    command = [sys.executable, "-m", "snakemake", *targets, "--dry-run", "--nolock", "--forceall", "--quiet", "reason"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "pretrain_encoder" in done.stdout + done.stderr


@pytest.mark.slow
def test_shards_do_not_change_a_bit(finished, copy):
    shutil.rmtree(copy.folder / "data/poisons")
    copy.configure(shards=3)
    copy.run(POISON)
    assert (copy.folder / POISON).read_bytes() == (finished.folder / POISON).read_bytes()


@pytest.mark.slow
def test_every_product_repeats_byte_for_byte(finished, tmp_path):
    again = make_toy(tmp_path)
    again.run("figures/toy/table1.tex", "figures/toy/figure5.png")
    names = [path.relative_to(again.folder) for part in ("data", "figures") for path in (again.folder / part).rglob("*") if path.is_file()]
    assert len(names) > 15
    for name in names:
        assert (again.folder / name).read_bytes() == (finished.folder / name).read_bytes(), name


@pytest.mark.slow
def test_a_failure_names_its_log_and_keeps_what_was_made(copy):
    config = yaml.safe_load((copy.folder / "toy.yaml").read_text())
    config["victims"]["converged"] = {"iterations": 1}
    copy.configure(**config)
    done = copy.snakemake("--cores", "2", "figures/toy/table1.csv")
    assert done.returncode != 0
    assert "logs/train_heads/toy/tiny.log" in done.stdout + done.stderr
    assert "largest gradient entry" in done.stdout + done.stderr
    assert (copy.folder / POISON).is_file()


# The audit


def test_audit_walks_to_the_sources(finished):
    done = audit(finished, "figures/toy/table1.csv", "figures/toy/figure6.pdf")
    assert done.returncode == 0, done.stderr
    assert "data/embedded/toy.tar" in done.stdout
    assert "data/embedded/toy.safetensors" in done.stdout
    assert "data/published/published_results.csv" in done.stdout
    assert "code unchanged since" in done.stdout
    assert "code has changed" not in done.stdout


def products(toy: Toy) -> list[Path]:
    record = json.loads((toy.folder / "figures/toy/table1.csv.provenance.json").read_text())
    return [toy.folder / "figures/toy/table1.csv", *(toy.folder / name for name in record["inputs"])]


def test_audit_finds_a_flipped_byte_anywhere_and_names_the_file(copy):
    for path in [*products(copy), copy.folder / "data/embedded/toy.tar", copy.folder / "data/images/toy.h5"]:
        content = path.read_bytes()
        for place in (len(content) // 3, len(content) - 1):
            changed = bytearray(content)
            changed[place] ^= 1
            path.write_bytes(bytes(changed))
            done = audit(copy, "figures/toy/table1.csv")
            assert done.returncode == 1, (path, place)
            assert path.name in done.stderr
        path.write_bytes(content)
    assert audit(copy, "figures/toy/table1.csv").returncode == 0


def test_audit_names_what_is_missing_and_what_has_no_record(copy):
    (copy.folder / "data/features/toy/tiny.h5").unlink()
    done = audit(copy, "figures/toy/table1.csv")
    assert done.returncode == 1
    assert "data/features/toy/tiny.h5: missing" in done.stderr
    (copy.folder / "figures/toy/table1.csv.provenance.json").unlink()
    done = audit(copy, "figures/toy/table1.csv")
    assert done.returncode == 1
    assert "no provenance record" in done.stderr
    assert audit(copy, "figures/toy/none.csv").returncode == 1


def test_audit_says_when_code_has_changed(copy):
    append(copy, "scripts/featpoison/attacks/feature_matching.py")
    done = audit(copy, "figures/toy/table1.csv")
    assert done.returncode == 0
    assert "match_features.py (code has changed since)" in done.stdout
