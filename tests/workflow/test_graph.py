"""The graph itself, on a copy of the repository: what runs, what reruns after an edit, what a clone with results does."""

import base64
import json
import re
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from crates import dangling, issues, wrong_files
from featpoison import provenance
from featpoison.digests import Digests
from featpoison.lineage import trace
from helpers import ROOT
from rocrate.rocrate import ROCrate
from tamper import Finished, edited_number, edited_setting, flipped, named, swapped, undetected
from toy import Toy, make_toy

MATCHING_AND_AFTER = {"match_features", "gather_shards", "evaluate_images", "collect_table", "render_table", "judge_claims"}
FIGURES = {"plot_threat_model", "plot_stages", "plot_poisons", "plot_magnitudes", "plot_anomalies", "plot_perturbations"}
MADE = (1, 2, 3, 4, 5, 6, 7, 9)
CANCELING_AND_AFTER = MATCHING_AND_AFTER | FIGURES | {"cancel_gradient", "evaluate_features", "pair_features", "invert_features"}
INVERTING_AND_AFTER = {"invert_features", "evaluate_images", "collect_table", "render_table", "judge_claims"}
POISON = "data/poisons/toy/tiny/feature-matching-beta0.25/eps0.2-seed1.h5"
RESULT = "data/victims/toy/tiny/gc-input/eps0.2.h5"


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


def test_work_is_spread_over_jobs_only_where_asked(tmp_path):
    toy = make_toy(tmp_path)
    toy.configure(shards=5, feature_shards=3, evaluation_shards=2)
    planned = toy.planned(POISON, RESULT)
    assert {rule: planned[rule] for rule in ("match_features", "gather_shards")} == {"match_features": 5, "gather_shards": 1}
    assert {rule: planned[rule] for rule in ("extract_features", "gather_features")} == {"extract_features": 3, "gather_features": 1}
    assert {rule: planned[rule] for rule in ("extract_quantized", "evaluate_images")} == {"extract_quantized": 2, "evaluate_images": 1}


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
    (copy.folder / RESULT).unlink()
    copy.configure(shards=3, evaluation_shards=3)
    copy.run(POISON, RESULT)
    for name in (POISON, RESULT):
        assert (copy.folder / name).read_bytes() == (finished.folder / name).read_bytes()
    assert not list((copy.folder / "data").rglob("*.shards/*"))


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


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EMBEDDED = re.compile(r'"name": "([^"]+)".*?"data_uri": "data:([a-z/-]+);[^"]*?base64,([^"]*)"', re.DOTALL)


@pytest.fixture(scope="module")
def report(finished) -> Path:
    finished.run("--report", "report.html")
    return finished.folder / "report.html"


@pytest.mark.slow
def test_the_report_holds_every_table_and_figure_byte_for_byte(finished, report):
    found = {name: base64.b64decode(content) for name, _, content in EMBEDDED.findall(report.read_text())}
    output = finished.folder / "figures/toy"
    shown = [path for path in output.iterdir() if path.suffix in (".png", ".pdf", ".tex", ".md")]
    assert len(shown) == 2 * len(MADE) + 3 + 1  # figures, the table, the claims
    assert found == {path.name: path.read_bytes() for path in shown}


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine (Debian: chromium)")
def test_the_report_opens_in_a_browser(report, tmp_path):
    """Its own page renders without an error on the console, and each of its images decodes."""
    shown = re.findall(r'"data_uri": "(data:image/png;[^"]*)"', report.read_text())
    pictures = tmp_path / "pictures.html"
    pictures.write_text(
        "<title>waiting</title>" + "".join(f'<img src="{uri}">' for uri in shown) + "<script>onload = () => document.title ="
        " [...document.images].filter(image => image.complete && image.naturalWidth > 100).length + ' decoded'</script>"
    )
    page, errors = browse(report)
    menu = re.sub(r"<script.*?</script>|<[^>]*>", " ", page, flags=re.DOTALL).split()  # the page is empty until its scripts have run
    assert {"Results", "Claims", "Figures", "Tables", "Statistics"} <= set(menu)
    assert not errors
    page, errors = browse(pictures)
    assert f"<title>{len(shown)} decoded</title>" in page
    assert not errors


def browse(path: Path) -> tuple[str, list[str]]:
    """The page as a browser makes it, and the errors on its console."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom"]
    done = subprocess.run([BROWSER, *options, path.as_uri()], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line and "INFO:CONSOLE" not in line]


def test_audit_walks_to_the_sources(finished):
    done = audit(finished, "figures/toy/table1.csv", "figures/toy/figure6.pdf")
    assert done.returncode == 0, done.stderr
    assert "data/embedded/toy.tar" in done.stdout
    assert "data/embedded/toy.safetensors" in done.stdout
    assert "data/published/published_results.csv" in done.stdout
    assert "code unchanged since" in done.stdout
    assert "code has changed" not in done.stdout
    assert "every digest agrees" in done.stdout


@pytest.fixture
def run(finished, monkeypatch) -> Finished:
    """The finished run for audits in this process; whoever changes a file puts it back."""
    monkeypatch.setattr(provenance, "ROOT", finished.folder.resolve())
    return Finished(finished.folder.resolve())


WAYS = [flipped, edited_number, flipped, swapped, flipped, edited_setting]


def test_audit_finds_every_change_and_names_just_the_changed_files(run):
    assert named(run.lineage) == set()
    assert not run.lineage.having("missing")
    assert set(run.by_kind) >= {".h5", ".safetensors", ".csv", ".tex", ".pdf", ".png", ".md", ".tar", ".provenance.json"}
    assert undetected(run, WAYS, 300, seed=1) == []


@pytest.mark.slow
def test_audit_finds_each_of_three_thousand_changes(run):
    assert undetected(run, WAYS, 3000, seed=2) == []


def test_what_is_missing_is_missing_and_not_tampered(run):
    """Every file, one after the other, away."""
    for path in run.files:
        name = run.name(path)
        roots = [run.folder / made for made, node in run.lineage.nodes.items() if name in node.inputs] or [run.folder / name]
        path.rename(path.with_name(".away"))
        try:
            found = trace(roots[:1], Digests())
        finally:
            path.with_name(".away").rename(path)
        assert [node.path for node in found.having("missing")] == [name], path
        assert found.having("tampered") == []


def test_audit_says_on_the_command_line_what_differs_and_what_is_missing(copy):
    (copy.folder / "data/features/toy/tiny.h5").unlink()
    done = audit(copy, "figures/toy/table1.csv")
    assert done.returncode == 3
    assert "data/features/toy/tiny.h5: missing; recorded with sha256" in done.stderr
    assert "data/features/toy/tiny.h5 - (not followed) MISSING" in done.stdout
    append(copy, "data/victims/toy/tiny/gc-feature/eps0.2.h5", "x")
    done = audit(copy, "--json", "figures/toy/table1.csv")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    states = {node["path"]: node["status"] for node in found["nodes"] if node["status"] != "ok"}
    assert states == {"data/features/toy/tiny.h5": "missing", "data/victims/toy/tiny/gc-feature/eps0.2.h5": "tampered"}
    assert done.stderr.splitlines() == [f"AUDIT FAILED: {line}" for line in found["failures"]]
    (copy.folder / "figures/toy/table1.csv.provenance.json").unlink()
    done = audit(copy, "figures/toy/table1.csv", "figures/toy/none.csv")
    assert done.returncode == 3
    assert "figures/toy/table1.csv: has no provenance record" in done.stderr
    assert "figures/toy/none.csv: missing" in done.stderr


def test_audit_remembers_and_reads_again_when_asked_or_when_a_file_changed(copy):
    features = copy.folder / "data/features/toy/tiny.h5"
    for path in (path for part in ("data", "figures") for path in (copy.folder / part).rglob("*") if path.is_file()):
        path.touch()
    time.sleep(2.1)  # what has just been written is not remembered
    counts = []
    for option in ([], [], ["--full"], []):
        done = audit(copy, "figures/toy/table1.csv", *option)
        counts.append(int(re.search(r"(\d+) of them read", done.stdout).group(1)))
        assert done.returncode == 0
    assert counts[0] == counts[2] > 20
    assert counts[1] == counts[3] == 0
    content = bytearray(features.read_bytes())
    content[len(content) // 2] ^= 1
    features.write_bytes(content)
    done = audit(copy, "figures/toy/table1.csv")
    assert done.returncode == 1
    assert "data/features/toy/tiny.h5: " in done.stderr


def test_audit_compares_with_a_configuration(copy):
    assert audit(copy, "figures/toy/table1.csv", "--configfile", "toy.yaml").returncode == 0
    config = yaml.safe_load((copy.folder / "toy.yaml").read_text())
    config["attacks"]["feature_matching"]["steps"] = 6
    copy.configure(**config)
    done = audit(copy, "figures/toy/table1.csv", "--configfile", "toy.yaml")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert f"AUDIT FAILED: {POISON}: attacks.feature_matching.steps is 6 in the configuration, 5 in the record" in lines
    assert all("data/poisons/toy/tiny/feature-matching" in line for line in lines)


def test_audit_says_when_code_has_changed(copy):
    append(copy, "scripts/featpoison/attacks/feature_matching.py")
    done = audit(copy, "figures/toy/table1.csv")
    assert done.returncode == 0
    assert "match_features.py (code has changed since)" in done.stdout


# A cell's address


def test_a_cell_is_computed_again_from_what_is_stored(finished):
    for address, victims in (("feature-matching,0.25,0.2", 2), ("gradpc-input,0.2", 1)):
        done = audit(finished, "figures/toy/table1.csv", "--json", "--cell", address)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert len(found["cells"]) == victims
        for cell in found["cells"]:
            assert {"clean_accuracy", "accuracy", "drop", "tau"} <= cell["columns"].keys()
            assert all(column["printed"] == column["again"] for column in cell["columns"].values())
        assert cell["source"] in {node["path"] for node in found["nodes"]}
        assert "data/embedded/toy.tar" in {node["path"] for node in found["nodes"]}


def test_an_edited_cell_is_named_with_both_values_even_under_new_seals(copy):
    table = copy.folder / "figures/toy/table1.csv"
    rows = table.read_text().splitlines()
    index = next(i for i, row in enumerate(rows) if row.startswith("gc-feature,,0.2") and ",converged," in row)
    values = rows[index].split(",")
    accuracy = values[6]
    values[6] = "1.5"
    rows[index] = ",".join(values)
    table.write_text("\n".join(rows) + "\n")
    difference = f"gc-feature,0.2,converged: accuracy is printed as 1.5, computed again it is {accuracy}"
    done = audit(copy, "figures/toy/table1.csv", "--cell", "gc-feature,0.2")
    assert done.returncode == 1
    assert "figures/toy/table1.csv: sha256 is" in done.stderr
    assert difference in done.stderr
    entry = json.loads((copy.folder / "figures/toy/table1.csv.provenance.json").read_text())
    (copy.folder / "forge.py").write_text(
        "import sys; sys.path.insert(0, 'scripts')\nfrom pathlib import Path\nfrom featpoison.provenance import write_sidecar\n"
        f"write_sidecar(Path('figures/toy/table1.csv'), { {key: entry[key] for key in entry if key not in ('seal', 'sha256')}!r})\n"
    )
    subprocess.run([sys.executable, "forge.py"], cwd=copy.folder, check=True)
    assert audit(copy, "figures/toy/table1.csv").returncode == 0  # new seals: digests are no signatures
    done = audit(copy, "figures/toy/table1.csv", "--cell", "gc-feature,0.2")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"AUDIT FAILED: {difference}"]


def test_an_address_that_is_none_says_which_there_are(finished):
    for address in ("gc-feature,0.3", "gc-feature", "gc-feature,0.1,0.2,sgd100,5", "none,0.2"):
        done = audit(finished, "figures/toy/table1.csv", "--cell", address)
        assert done.returncode == 2
        assert "gc-feature,0.2" in done.stderr or "METHOD[,BETA],EPS" in done.stderr
    assert audit(finished, "figures/toy/table1.tex", "--cell", "gc-feature,0.2").returncode == 2


# The export


def export(toy: Toy, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "scripts/export_provenance.py", *arguments], cwd=toy.folder, capture_output=True, text=True, check=False)


def test_the_exported_crate_is_valid_and_whole(finished, tmp_path, monkeypatch):
    folder = tmp_path / "crate"
    done = export(finished, "figures/toy/table1.csv", "figures/toy/table1.tex", "figures/toy/figure5.png", "--copy", str(folder))
    assert done.returncode == 0, done.stderr
    crate = ROCrate(folder)
    assert crate.mainEntity.id == "Snakefile"
    assert dangling(crate) == []
    assert wrong_files(crate, folder) == []
    assert {"data/embedded/toy.tar", POISON, "figures/toy/table1.csv"} <= {entity.id for entity in crate.data_entities}
    actions = {entity["name"]: entity for entity in crate.get_by_type("CreateAction")}
    matching = actions[f"match_features: {POISON}"]
    assert matching["instrument"].id == "scripts/match_features.py"
    values = {entity["name"]: entity["value"] for entity in matching["object"] if entity.type == "PropertyValue"}
    assert (values["steps"], values["beta"], values["environment.torch"]) == (5, 0.25, version("torch"))
    assert [entity.id for entity in actions["render_table: figures/toy/table1.tex"]["object"] if "csv" in entity.id] == ["figures/toy/table1.csv"]
    assert actions["collect_table: figures/toy/table1.csv"]["startTime"] > actions["fetch_dataset: data/images/toy.h5"]["endTime"]
    assert {usage["name"] for usage in actions["train_heads: data/heads/toy/tiny/clean.h5"]["resourceUsage"]} >= {"wall time"}
    profile = "provenance-run-crate"  # extends those of workflow runs
    assert issues(folder, profile, monkeypatch, tmp_path / "cache") == []
    metadata = folder / "ro-crate-metadata.json"
    metadata.write_text(metadata.read_text().replace('"instrument"', '"tool"'))
    assert any("instrument" in issue for issue in issues(folder, profile, monkeypatch, tmp_path / "cache"))


def test_what_is_not_whole_is_not_exported(copy):
    append(copy, "data/heads/toy/tiny/clean.h5", "x")
    done = export(copy, "figures/toy/table1.csv")
    assert done.returncode == 1
    assert "NOT EXPORTED: data/heads/toy/tiny/clean.h5: " in done.stderr
    assert not (copy.folder / "ro-crate-metadata.json").exists()
    (copy.folder / "data/heads/toy/tiny/clean.h5").unlink()
    assert export(copy, "figures/toy/table1.csv").returncode == 3
