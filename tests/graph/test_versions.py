"""Versions of code that are kept: those that would be computed, until a byte of any code changes."""

import pytest
from featpoison.graph.versions import Versions
from featpoison.records import provenance

PROGRAM, CHOSEN = "poison_features.py", "featpoison.attacks.gc_feature"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A program, a module that it imports, and one that it chooses by name."""
    package = tmp_path / "scripts/featpoison"
    (package / "attacks").mkdir(parents=True)
    for name in ("__init__", "attacks/__init__", "attacks/gc_feature", "used", "other"):
        (package / f"{name}.py").write_text("x = 1\n")
    (tmp_path / "scripts" / PROGRAM).write_text("from featpoison import used\n")
    for name, value in (("PACKAGE", package), ("SCRIPTS", package.parent), ("ROOT", tmp_path)):
        monkeypatch.setattr(provenance, name, value)
    provenance._module_files.cache_clear()
    provenance._imported_modules.cache_clear()
    yield package
    provenance._module_files.cache_clear()
    provenance._imported_modules.cache_clear()


def computed() -> list[str]:
    files = [(), (provenance.module_file(CHOSEN),)]
    return [provenance.code_version(provenance.SCRIPTS / PROGRAM, *chosen) for chosen in files]


def of(versions: Versions) -> list[str]:
    return [versions.of(PROGRAM), versions.of(PROGRAM, CHOSEN)]


def test_they_are_computed_once(project, tmp_path, monkeypatch):
    first = Versions(tmp_path / "kept.json")
    assert of(first) == computed()
    assert len(set(of(first))) == 2
    first.keep()
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "code_version", None)
        assert of(Versions(tmp_path / "kept.json")) == of(first)


@pytest.mark.parametrize("edited", ["used", "other", "attacks/gc_feature"])
def test_an_edit_of_any_module_makes_them_be_computed_again(project, tmp_path, edited):
    first = Versions(tmp_path / "kept.json")
    before = of(first)
    first.keep()
    (project / f"{edited}.py").write_text("x = 2\n")
    provenance._imported_modules.cache_clear()
    again = Versions(tmp_path / "kept.json")
    assert again.known == {}
    assert of(again) == computed()
    assert (of(again)[0] != before[0]) == (edited == "used")
    assert (of(again)[1] != before[1]) == (edited != "other")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"sources": 1, "versions": {}}', "\0"])
def test_a_file_of_another_kind_is_none(project, tmp_path, content):
    (tmp_path / "kept.json").write_text(content)
    assert of(Versions(tmp_path / "kept.json")) == computed()


def test_without_a_folder_of_snakemakes_nothing_is_written(project, tmp_path):
    versions = Versions(tmp_path / ".snakemake/kept.json")
    of(versions)
    versions.keep()
    assert not (tmp_path / ".snakemake").exists()
