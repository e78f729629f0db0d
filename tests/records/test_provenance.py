import json
import subprocess
import sys

import pytest
from featpoison.attacks import names as attacks
from featpoison.attacks import pretraining_names
from featpoison.records import provenance
from helpers import ROOT

ATTACKS = {name: provenance.module_file(attacks.module_of(name)) for name in attacks.NAMES}
DEFENCES = sorted((provenance.PACKAGE / "defences").glob("*.py"))
PRETRAINING_ATTACKS = [
    provenance.module_file(pretraining_names.module_of(name)) for name in pretraining_names.NAMES
]
PLANNERS = {"plan_cost.py", "write_schema.py"}  # read the settings of all of these, and make no product


def names(program, *chosen):
    closure = provenance.import_closure(ROOT / "scripts" / program, *chosen)
    return {provenance.relative(path) for path in closure}


def test_closure_follows_imports_and_nothing_else():
    pretraining = names("pretrain_encoder.py")
    assert {
        "scripts/pretrain_encoder.py",
        "scripts/featpoison/pretraining/simclr.py",
        "scripts/featpoison/encoders/resnet50.py",  # imported in a function
    } <= pretraining
    assert not any("render" in name or "attacks" in name or "config" in name for name in pretraining)
    assert not any("attacks" in name or "torch" in name for name in names("plot_poisons.py"))


def test_of_the_attacks_only_the_chosen_one_is_code():
    program = names("poison_images.py")
    matching = names("poison_images.py", ATTACKS["feature-matching"])
    own = {"scripts/featpoison/attacks/feature_matching.py", "scripts/featpoison/encoders/resnet.py"}
    assert own.isdisjoint(program)
    assert program | own <= matching
    others = {provenance.relative(path) for name, path in ATTACKS.items() if name != "feature-matching"}
    assert others.isdisjoint(matching)


LOADER = """
import importlib, importlib.util, json, pathlib, sys
scripts = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(scripts))
loaded = {}

def note(name, load):
    def own():
        return [key for key in sys.modules if key.split(".")[0] == "featpoison"]
    for key in own():
        del sys.modules[key]
    load()
    loaded[name] = [sys.modules[key].__file__ for key in own()]

def program(path):
    spec = importlib.util.spec_from_file_location("program", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))

for path in sorted(scripts.glob("*.py")):
    note(path.name, lambda: program(path))
for module in sys.argv[2:]:
    note(module, lambda: importlib.import_module(module))
print(json.dumps(loaded))
"""


@pytest.mark.slow
def test_closure_holds_every_module_that_the_interpreter_loads():
    modules = {attacks.module_of(name): path for name, path in ATTACKS.items()}
    modules |= {f"featpoison.defences.{path.stem}": path for path in DEFENCES if path.stem != "__init__"}
    command = [sys.executable, "-c", LOADER, str(ROOT / "scripts"), *modules]
    loaded = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(loaded) == len(list((ROOT / "scripts").glob("*.py"))) + len(modules)
    for name, files in loaded.items():
        if name in modules:
            program = "defend_poisons.py" if "defences" in name else "poison_images.py"
            expected = names(program, modules[name])
        elif name in PLANNERS:
            expected = names(name, *ATTACKS.values(), *PRETRAINING_ATTACKS, *DEFENCES)
        else:
            expected = names(name)
        assert {provenance.relative(path) for path in files} <= expected, name


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


MODULE = '''
"""A module."""
x = 1  # one


def double(y):
    """Twice y."""
    return 2 * y
'''


@pytest.mark.parametrize(
    "edited",
    [
        MODULE.replace("  # one", ""),
        MODULE.replace("Twice y.", "Two times y."),
        MODULE.replace('    """Twice y."""\n', ""),
        MODULE.replace("2 * y", "(2 * y)").replace("A module", "Words"),
        MODULE.replace("\n\n\n", "\n"),
    ],
)
def test_words_and_layout_are_no_code(tmp_path, edited):
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text(MODULE)
    second.write_text(edited)
    assert edited != MODULE
    assert provenance.syntax_digest(first) == provenance.syntax_digest(second)


@pytest.mark.parametrize(
    ("before", "after"),
    [("x = 1", "x = 2"), ("x = 1", "x = 1.0"), ("x = 1", "x = '1'"), ("2 * y", "y * 2"), ("y)", "y=None)")],
)
def test_all_else_is_code(tmp_path, before, after):
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text(MODULE)
    second.write_text(MODULE.replace(before, after))
    assert provenance.syntax_digest(first) != provenance.syntax_digest(second)


def test_the_digest_of_syntax_is_that_of_every_version_of_python(tmp_path):
    """Written down by hand: fields that a version does not have, or leaves empty, are not part of it."""
    path = tmp_path / "module.py"
    path.write_text("def f(x: int = 0):\n    '''Words.'''\n    return f'{x!r:>3}'\n")
    text = (
        "Module(body=FunctionDef(name='f'args=arguments(args=arg(arg='x'annotation=Name(id='int'ctx=Load())),"
        "defaults=Constant(value=0),)body=Return(value=JoinedStr(values=FormattedValue(value=Name(id='x'"
        "ctx=Load())conversion=114format_spec=JoinedStr(values=Constant(value='>3'),)),)),),)"
    )
    assert provenance.syntax_digest(path) == provenance.sha256_bytes(text.encode())


def test_record_has_no_clock_and_repeats(tmp_path):
    program, data = ROOT / "scripts" / "collect_table.py", tmp_path / "input"
    data.write_bytes(b"abc")
    first, second = (provenance.record(program, [data], {"seed": 1}, "cpu") for _ in range(2))
    assert provenance.canonical_json(first) == provenance.canonical_json(second)
    assert first["inputs"] == {data.as_posix(): provenance.sha256_bytes(b"abc")}
    assert first["settings"] == {"seed": 1}
    assert first["environment"]["torch"]
