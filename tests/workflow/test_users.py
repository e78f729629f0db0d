"""Two configurations that give other settings to one name, and what a shell sees of a configuration."""

import json
import os
import re
import subprocess
import sys

import pytest
import yaml
from featpoison.records.provenance import sha256_file
from helpers import ROOT, SNAKEMAKE
from toy import PROFILE, Toy, make_toy

HEADS = "data/heads/toy/tiny/clean.h5"


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Toy:
    """A run that made the clean heads."""
    toy = make_toy(tmp_path_factory.mktemp("begun"))
    toy.run("--", HEADS)
    return toy


def other(toy: Toy, *arguments: str, **changes):
    """A dry run of a copied configuration."""
    (toy.folder / "other.yaml").write_text(yaml.safe_dump(toy.config | {"output": "figures/other"} | changes))
    return toy.python(SNAKEMAKE, "--configfile", "other.yaml", *arguments)


CHANGED = {"victims": {"seeds": [0, 2], "sgd100": {"epochs": 12, "batch_size": 16}}}


@pytest.mark.slow
@pytest.mark.parametrize("how", [["--dry-run"], ["--cores", "1"]])
def test_products_of_another_configuration_are_not_replaced(begun, how):
    before = (begun.folder / HEADS).read_bytes()
    done = other(begun, *how, "--", HEADS, **CHANGED)
    text = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"{HEADS} is used by toy.yaml: victims.seeds is [0, 2] in the configuration" in text
    assert "other.yaml would replace it" in text
    assert "--config replace=True" in text
    assert "Traceback" not in text
    assert (begun.folder / HEADS).read_bytes() == before


@pytest.mark.slow
def test_replacing_and_sharing_are_possible(begun, tmp_path):
    assert other(begun, "--dry-run", "--config", "replace=True", "--", HEADS, **CHANGED).returncode == 0
    assert other(begun, "--dry-run", "--", HEADS).returncode == 0  # the same settings
    toy = begun.copied(tmp_path / "copy")
    done = other(toy, "--cores", "1", "--config", "replace=True", "--", HEADS, **CHANGED)
    assert done.returncode == 0, done.stderr
    users = json.loads((toy.folder / "data/.users.json").read_text())
    assert users[HEADS] == ["other.yaml"]
    assert users["data/images/toy.h5"] == ["other.yaml", "toy.yaml"]


@pytest.mark.slow
def test_a_run_that_has_nothing_to_do_is_listed_and_a_look_is_not(begun, tmp_path):
    toy = begun.copied(tmp_path / "copy")
    listed = toy.folder / "data/.users.json"
    for how, users in (
        ("--dry-run", ["toy.yaml"]),
        ("--summary", ["toy.yaml"]),
        ("--cores=1", ["other.yaml"]),
    ):
        done = other(toy, how, "--", HEADS)
        assert done.returncode == 0, done.stderr
        assert json.loads(listed.read_text())[HEADS][:1] == users


@pytest.mark.slow
def test_a_configuration_may_be_edited(begun):
    toy, config = begun, begun.config
    try:
        toy.configure(**CHANGED)
        assert toy.planned(HEADS) == {"train_heads": 1}
    finally:
        toy.configure(**config)


@pytest.mark.slow
def test_an_input_that_is_put_back_with_its_old_time_counts(begun, tmp_path):
    """Under every profile, and only where its content is another one."""
    toy = begun.copied(tmp_path / "copy")
    images, heads = toy.folder / "data/images/toy.h5", toy.folder / HEADS
    plain = (SNAKEMAKE, "--configfile", "toy.yaml", "--dry-run", "--", HEADS)
    kept = images.read_bytes()
    images.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    old = heads.stat().st_mtime - 1000
    os.utime(images, (old, old))
    for arguments in (plain, (*plain[:3], *PROFILE, *plain[3:])):
        done = toy.python(*arguments)
        assert done.returncode == 0, done.stderr
        assert "Put back with an old time stamp" in done.stdout + done.stderr or arguments != plain
        assert "extract_features" in done.stdout + done.stderr
    images.write_bytes(kept)
    os.utime(images, (old, old))
    done = toy.python(*plain)
    assert "Nothing to be done" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_run_from_elsewhere_says_how_to_name_the_folder(begun, tmp_path):
    command = [sys.executable, SNAKEMAKE, "--snakefile", str(begun.folder / "Snakefile"), "-n"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"add --directory {begun.folder}" in done.stdout + done.stderr
    command += ["--directory", str(begun.folder), "--configfile", str(begun.folder / "toy.yaml"), "--", HEADS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


MISTAKES = {
    "a shell's command": ({"output": "figures/$(touch X)"}, "toy.yaml: output: String should match pattern"),
    "a budget that is no path": (
        {"tables": {"table1": {"scenario": "transfer", "budgets": [0.10000001], "rows": []}}},
        "tables.table1.budgets.0: 0.10000001 has more than six digits",
    ),
    "an unknown key": ({"atacks": {}}, "toy.yaml: atacks: Extra inputs are not permitted"),
    "no weights": (
        {"encoders": {"tiny": {"weights": {}}}},
        "encoders.tiny.weights: 'path' and 'url': neither",
    ),
    "an absent archive": (
        {"datasets": {"toy": {"format": "cifar-10-binary", "archive": {"path": "data/no.tar"}}}},
        "datasets.toy: the file data/no.tar does not exist",
    ),
    "another configuration": ({"output": "figures/toy", **CHANGED}, "is used by toy.yaml"),
}


@pytest.mark.slow
def test_mistakes_leave_finished_products_and_their_audit_as_they_were(begun, tmp_path):
    toy = begun.copied(tmp_path / "copy")
    before = {path: sha256_file(path) for path in toy.folder.rglob("data/*/*.h5")}
    for number, (changes, message) in enumerate(MISTAKES.values()):
        name = "toy.yaml" if "used by" not in message else "other.yaml"
        content = (toy.folder / "toy.yaml").read_text()
        (toy.folder / name).write_text(yaml.safe_dump(toy.config | changes))
        done = toy.python(SNAKEMAKE, "--configfile", name, *PROFILE, "--cores", "1", "--", HEADS)
        (toy.folder / "toy.yaml").write_text(content)
        said = " ".join((done.stdout + done.stderr).split())
        assert (number, done.returncode) == (number, 1)
        assert message in said
        assert "Traceback" not in said
        assert not (toy.folder / "X").exists()
    assert {path: sha256_file(path) for path in before} == before
    audited = toy.audit(HEADS)
    assert audited.returncode == 0, audited.stderr


def test_every_word_that_a_shell_reads_is_quoted():
    fields = []
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        for shell in re.findall(r'shell:\n((?:\s+".*"\n)+)', path.read_text()):
            fields += re.findall(r"\{([^{}]+)\}", shell)
    assert len(fields) > 100
    assert {field for field in fields if not field.endswith(":q")} == {"threads", "resources.gpu"}
