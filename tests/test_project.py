"""The promises that files of the repository make to each other."""

import json
import os
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from featpoison.config import load
from featpoison.records import provenance
from helpers import ROOT, ran

PROGRAMS = sorted((ROOT / "scripts").glob("*.py"))


def pinned() -> dict[str, str]:
    text = (ROOT / "requirements.txt").read_text()
    return {
        name.lower(): entry
        for name, entry in re.findall(r"^([A-Za-z0-9_.-]+)==((?:[^\n]|\n )+)", text, flags=re.MULTILINE)
    }


def test_every_dependency_is_pinned_with_hashes_and_no_index():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *project["optional-dependencies"]["test"],
        *project["optional-dependencies"]["lint"],
    ]
    found = pinned()
    for dependency in wanted:
        name = re.split(r"[\[<>=]", dependency)[0].lower()
        assert name in found, name
    assert all("--hash=sha256:" in entry for entry in found.values())
    assert "://" not in (ROOT / "requirements.txt").read_text()


def test_conda_installs_the_same_set():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert {"pip": ["--requirement ${PWD}/requirements.txt"]} in environment["dependencies"]
    assert "python=3.11" in environment["dependencies"]
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"] == ">=3.11"


def test_readme_shows_the_commands_of_the_makefile():
    readme, make = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    profile = "--workflow-profile workflow/profiles/default"
    demo = f"snakemake {profile} --configfile workflow/config/demo.yaml --cores"
    tests = "python -m pytest --numprocesses 2 --dist loadfile"
    for command in (demo, tests):
        assert command in readme
        assert command in make
    assert f"FEATPOISON_WARM=1 .venv/bin/{demo}" in readme
    assert f"FEATPOISON_WARM=1 {demo}" in make


def test_readme_links_exist():
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / link).exists(), link


def test_reference_files_are_what_their_records_say():
    records = list((ROOT / "data/reference").rglob("*.provenance.json"))
    assert records
    for path in records:
        record = json.loads(path.read_text())
        assert (
            provenance.sha256_file(path.with_name(path.name.removesuffix(".provenance.json")))
            == record["sha256"]
        ), path


def test_the_embedded_encoder_is_the_described_one():
    for path in (ROOT / "data/embedded").glob("*.on-cifar10.json"):
        facts = json.loads(path.read_text())
        assert provenance.sha256_file(path.with_name(facts["encoder"]["file"])) == facts["encoder"]["sha256"]
        assert facts["pretraining_images"]["download"]["archive"]
        settings = facts["provenance"]["settings"]
        assert len(facts["loss_per_epoch"]) == settings["epochs"]
        declared = load(ROOT / "workflow/config/embedded.yaml").encoders[
            facts["encoder"]["file"].removesuffix(".safetensors")
        ]
        assert json.loads(declared.pretraining.simclr.model_dump_json()) == settings


def test_the_workflows_python_stands_in_the_library():
    """There it is typed and tested; what stands here only hands it to Snakemake."""
    lines = (ROOT / "workflow/rules/common.smk").read_text().splitlines()
    assert len(lines) <= 126
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        functions = re.findall(r"^\s*def (\w+)", path.read_text(), flags=re.MULTILINE)
        assert len(functions) <= (2 if path.name == "common.smk" else 0), path


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_every_program_has_help(program):
    done = ran(program, "--help")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 150


def test_a_missing_input_is_named_before_work_starts():
    done = ran("scripts/plot_poisons.py", "--images", "absent.h5", "--poisons", "p.h5", "--", "out.png")
    assert done.returncode == 2
    assert "--images: absent.h5 does not exist" in done.stderr


def test_wrong_settings_name_the_key(tmp_path):
    (tmp_path / "f.h5").touch()
    options = ("--features", tmp_path / "f.h5", "--settings", '{"sedes": [1]}')
    done = ran("scripts/train_heads.py", *options, "out.h5")
    assert done.returncode != 0
    assert "sedes" in done.stderr
    assert "Extra inputs are not permitted" in done.stderr


def test_an_encoder_of_other_bytes_is_refused_under_any_name(tmp_path):
    (tmp_path / "other.safetensors").write_bytes(b"x")
    source = json.dumps(
        {"url": "http://127.0.0.1/e.safetensors", "sha256": "0" * 64, "mirror_names": ["other.safetensors"]}
    )
    made = tmp_path / "out.safetensors"
    command = [sys.executable, ROOT / "scripts/import_encoder.py", "--settings", source, made]
    environment = os.environ | {"FEATPOISON_MIRROR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode != 0
    assert "expected " + "0" * 64 in done.stderr
    assert not made.exists()
