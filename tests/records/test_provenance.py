import json
import subprocess
import sys

from featpoison.records import provenance
from helpers import ROOT


def names(program):
    return {provenance.relative(path) for path in provenance.import_closure(ROOT / "scripts" / program)}


def test_closure_follows_imports_and_nothing_else():
    matching = names("match_features.py")
    assert {
        "scripts/match_features.py",
        "scripts/featpoison/attacks/feature_matching.py",
        "scripts/featpoison/encoders/resnet.py",
    } <= matching
    assert not any(
        "render" in name or "gradpc" in name or "canceling" in name or "config" in name for name in matching
    )
    assert not any("attacks" in name or "torch" in name for name in names("plot_poisons.py"))


LOADER = """
import importlib.util, json, pathlib, sys
scripts = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(scripts))
loaded = {}
for program in sorted(scripts.glob("*.py")):
    for name in [name for name in sys.modules if name.split(".")[0] == "featpoison"]:
        del sys.modules[name]
    spec = importlib.util.spec_from_file_location("program", program)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    own = [module for name, module in list(sys.modules.items()) if name.split(".")[0] == "featpoison"]
    loaded[program.name] = [module.__file__ for module in own]
print(json.dumps(loaded))
"""


def test_closure_holds_every_module_that_the_interpreter_loads():
    command = [sys.executable, "-c", LOADER, str(ROOT / "scripts")]
    loaded = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(loaded) == len(list((ROOT / "scripts").glob("*.py")))
    for program, files in loaded.items():
        assert {provenance.relative(path) for path in files} <= names(program), program


def test_code_version_changes_with_an_imported_module(tmp_path, monkeypatch):
    package = tmp_path / "featpoison"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "used.py").write_text("x = 1\n")
    (package / "unused.py").write_text("x = 1\n")
    program = tmp_path / "program.py"
    program.write_text("from featpoison.used import x\n")
    for name, value in (("PACKAGE", package), ("SCRIPTS", tmp_path), ("ROOT", tmp_path)):
        monkeypatch.setattr(provenance, name, value)
    provenance._module_files.cache_clear()
    before = provenance.code_version(program)
    (package / "unused.py").write_text("x = 2\n")
    assert provenance.code_version(program) == before
    (package / "used.py").write_text("x = 2\n")
    assert provenance.code_version(program) != before
    provenance._module_files.cache_clear()


def test_record_has_no_clock_and_repeats(tmp_path):
    program, data = ROOT / "scripts" / "collect_table.py", tmp_path / "input"
    data.write_bytes(b"abc")
    first, second = (provenance.record(program, [data], {"seed": 1}, "cpu") for _ in range(2))
    assert provenance.canonical_json(first) == provenance.canonical_json(second)
    assert first["inputs"] == {data.as_posix(): provenance.sha256_bytes(b"abc")}
    assert first["settings"] == {"seed": 1}
    assert first["environment"]["torch"]
