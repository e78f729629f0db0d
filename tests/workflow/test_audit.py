"""What the audit finds in a finished run, a cell's address, and the export."""

import json
import re
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from crates import dangling, issues, wrong_files
from featpoison.audit.digests import Digests
from featpoison.audit.lineage import trace
from featpoison.records import provenance
from rocrate.rocrate import ROCrate
from tamper import Finished, edited_number, edited_setting, flipped, named, sealed_anew, swapped, undetected
from toy import MATCHING, POISON, Toy

GC_FEATURE = "gc-feature,0.2,free,gradpc-feature,fine-tuning"
IN_INPUT_SPACE = "data/poisons/toy/tiny/gc-input_free_gradpc-feature/eps0.2-seed0.h5"
VICTIMS = "data/victims/toy/tiny/gc-feature_free_gradpc-feature/none/eps0.2.h5"
audit = Toy.audit


def test_audit_walks_to_the_sources(finished):
    done = audit(finished, "figures/toy/table1.csv", "figures/toy/figure6.pdf")
    assert done.returncode == 0, done.stderr
    assert "data/embedded/toy.tar" in done.stdout
    assert "data/embedded/toy.safetensors" in done.stdout
    assert "data/published/published_results.csv" in done.stdout
    assert "code unchanged since" in done.stdout
    assert "code has changed" not in done.stdout
    assert "every digest agrees" in done.stdout


@pytest.fixture(scope="module")
def folder(finished, tmp_path_factory) -> Path:
    return finished.copied(tmp_path_factory.mktemp("audited") / "toy").folder.resolve()


@pytest.fixture
def run(folder, monkeypatch) -> Finished:
    """A copy for audits in this process; whoever changes a file puts it back."""
    monkeypatch.setattr(provenance, "ROOT", folder)
    return Finished(folder)


WAYS = [flipped, edited_number, flipped, swapped, flipped, edited_setting]


def test_audit_finds_every_change_and_names_just_the_changed_files(run):
    assert named(run.lineage) == set()
    assert not run.lineage.having("missing")
    assert set(run.by_kind) >= {
        ".h5",
        ".safetensors",
        ".csv",
        ".tex",
        ".pdf",
        ".png",
        ".md",
        ".tar",
        ".provenance.json",
    }
    assert undetected(run, WAYS, 300, seed=1) == []


@pytest.mark.slow
def test_audit_finds_each_of_three_thousand_changes(run):
    assert undetected(run, WAYS, 3000, seed=2) == []


def test_what_is_missing_is_missing_and_not_tampered(run):
    """Every file, one after the other, away."""
    for path in run.files:
        name = run.name(path)
        roots = [run.folder / made for made, node in run.lineage.nodes.items() if name in node.inputs] or [
            run.folder / name
        ]
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
    copy.append(VICTIMS, "x")
    done = audit(copy, "--json", "figures/toy/table1.csv")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    states = {node["path"]: node["status"] for node in found["nodes"] if node["status"] != "ok"}
    assert states == {
        "data/features/toy/tiny.h5": "missing",
        VICTIMS: "tampered",
    }
    assert done.stderr.splitlines() == [f"AUDIT FAILED: {line}" for line in found["failures"]]
    (copy.folder / "figures/toy/table1.csv.provenance.json").unlink()
    done = audit(copy, "figures/toy/table1.csv", "figures/toy/none.csv")
    assert done.returncode == 3
    assert "figures/toy/table1.csv: has no provenance record" in done.stderr
    assert "figures/toy/none.csv: missing" in done.stderr


def test_audit_remembers_and_reads_again_when_asked_or_when_a_file_changed(copy):
    features = copy.folder / "data/features/toy/tiny.h5"
    for path in (
        path for part in ("data", "figures") for path in (copy.folder / part).rglob("*") if path.is_file()
    ):
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


@pytest.mark.slow
def test_audit_compares_with_a_configuration(copy):
    assert audit(copy, "figures/toy/table1.csv", "--configfile", "toy.yaml").returncode == 0
    config = copy.config
    config["attacks"]["feature_matching"]["steps"] = 6
    copy.configure(**config)
    done = audit(copy, "figures/toy/table1.csv", "--configfile", "toy.yaml")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    difference = "attacks.feature_matching.steps is 6 in the configuration, 5 in the record"
    assert f"AUDIT FAILED: {POISON}: {difference}" in lines
    assert all(f"data/poisons/toy/tiny/{MATCHING}/" in line for line in lines)


def test_audit_says_when_code_has_changed(copy):
    copy.append("scripts/featpoison/attacks/feature_matching.py")
    done = audit(copy, "figures/toy/table1.csv")
    assert done.returncode == 0
    changed = [line for line in done.stdout.splitlines() if "code has changed since" in line]
    assert changed
    assert all(
        "poison_images.py (code has changed since)" in line and f"/{MATCHING}/" in line for line in changed
    )


# A cell's address


CELLS = (("feature-matching,0.25,0.2", 2), ("gc-feature,0.2,emittable,2", 2), ("gradpc-input,0.2", 1))


def test_a_cell_is_computed_again_from_what_is_stored(finished):
    for address, victims in CELLS:
        done = audit(finished, "figures/toy/table1.csv", "--json", "--cell", address)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert len(found["cells"]) == victims
        for cell in found["cells"]:
            assert {"clean_accuracy", "accuracy", "drop", "tau"} <= cell["columns"].keys()
            assert all(column["printed"] == column["again"] for column in cell["columns"].values())
        assert cell["source"] in {node["path"] for node in found["nodes"]}
        assert "data/embedded/toy.tar" in {node["path"] for node in found["nodes"]}


@pytest.mark.slow
def test_an_edited_cell_is_named_with_both_values_even_under_new_seals(copy):
    table = copy.folder / "figures/toy/table1.csv"
    rows = table.read_text().splitlines()
    index = next(
        i for i, row in enumerate(rows) if row.startswith("gc-feature,,0.2") and ",converged," in row
    )
    values, differences = rows[index].split(","), []
    for column, name, wrong in ((6, "accuracy", "1.5"), (8, "drop_low", "0.125")):
        text = f"{name} is printed as {wrong}, computed again it is {values[column]}"
        differences.append(f"AUDIT FAILED: {GC_FEATURE},converged: {text}")
        values[column] = wrong
    rows[index] = ",".join(values)
    table.write_text("\n".join(rows) + "\n")
    done = audit(copy, "figures/toy/table1.csv", "--cell", "gc-feature,0.2")
    assert done.returncode == 1
    assert "figures/toy/table1.csv: sha256 is" in done.stderr
    assert set(differences) <= set(done.stderr.splitlines())
    sealed_anew(copy.folder, "figures/toy/table1.csv")
    assert audit(copy, "figures/toy/table1.csv").returncode == 0  # new seals: digests are no signatures
    done = audit(copy, "figures/toy/table1.csv", "--cell", "gc-feature,0.2")
    assert done.returncode == 1
    assert done.stderr.splitlines() == differences


def test_an_address_that_is_none_says_which_there_are(finished):
    for address in ("gc-feature,0.3", "gc-feature", "gc-feature,0.1,0.2,sgd100,5", "none,0.2"):
        done = audit(finished, "figures/toy/table1.csv", "--cell", address)
        assert done.returncode == 2
        assert "gc-feature,0.2" in done.stderr or "METHOD[,BETA],EPS" in done.stderr
    assert audit(finished, "figures/toy/table1.tex", "--cell", "gc-feature,0.2").returncode == 2


# The export


def export(toy: Toy, *arguments: str) -> subprocess.CompletedProcess:
    return toy.python("scripts/export_provenance.py", *arguments)


@pytest.mark.slow
def test_the_exported_crate_is_valid_and_whole(finished, tmp_path, monkeypatch):
    folder = tmp_path / "crate"
    done = export(
        finished,
        "figures/toy/table1.csv",
        "figures/toy/table1.tex",
        "figures/toy/figure5.png",
        "--copy",
        str(folder),
    )
    assert done.returncode == 0, done.stderr
    crate = ROCrate(folder)
    assert crate.mainEntity.id == "Snakefile"
    assert dangling(crate) == []
    assert wrong_files(crate, folder) == []
    assert {"data/embedded/toy.tar", POISON, "figures/toy/table1.csv"} <= {
        entity.id for entity in crate.data_entities
    }
    actions = {entity["name"]: entity for entity in crate.get_by_type("CreateAction")}
    matching = actions[f"poison_images: {POISON}"]
    tools = {name: actions[f"poison_images: {name}"]["instrument"] for name in (POISON, IN_INPUT_SPACE)}
    parts = {name: {part.id for part in tool["hasPart"]} for name, tool in tools.items()}
    assert matching["instrument"].id == "#scripts/poison_images.py-feature_matching"
    assert all("scripts/poison_images.py" in modules for modules in parts.values())
    own = [f"scripts/featpoison/attacks/{attack}.py" for attack in ("feature_matching", "gc_input")]
    assert [[module in modules for module in own] for modules in parts.values()] == [
        [True, False],
        [False, True],
    ]
    assert len({tool["version"] for tool in tools.values()}) == 2
    values = {
        entity["name"]: entity["value"] for entity in matching["object"] if entity.type == "PropertyValue"
    }
    assert (values["steps"], values["beta"], values["environment.torch"]) == (5, 0.25, version("torch"))
    assert [
        entity.id
        for entity in actions["render_table: figures/toy/table1.tex"]["object"]
        if "csv" in entity.id
    ] == ["figures/toy/table1.csv"]
    assert (
        actions["collect_table: figures/toy/table1.csv"]["startTime"]
        > actions["fetch_dataset: data/images/toy.h5"]["endTime"]
    )
    assert {
        usage["name"] for usage in actions["train_heads: data/heads/toy/tiny/clean.h5"]["resourceUsage"]
    } >= {"wall time"}
    profile = "provenance-run-crate"  # extends those of workflow runs
    assert issues(folder, profile, monkeypatch, tmp_path / "cache") == []
    metadata = folder / "ro-crate-metadata.json"
    metadata.write_text(metadata.read_text().replace('"instrument"', '"tool"'))
    assert any("instrument" in issue for issue in issues(folder, profile, monkeypatch, tmp_path / "cache"))


def test_what_is_not_whole_is_not_exported(copy):
    copy.append("data/heads/toy/tiny/clean.h5", "x")
    done = export(copy, "figures/toy/table1.csv")
    assert done.returncode == 1
    assert "NOT EXPORTED: data/heads/toy/tiny/clean.h5: " in done.stderr
    assert not (copy.folder / "ro-crate-metadata.json").exists()
    (copy.folder / "data/heads/toy/tiny/clean.h5").unlink()
    assert export(copy, "figures/toy/table1.csv").returncode == 3
