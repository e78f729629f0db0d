"""Configurations that somebody got wrong: each is refused when it is read, with one line for each mistake
that begins with the file's name and names the key; nothing else is raised, and nothing wrong is accepted."""

import copy
import json
import math

import pytest
import torch
import yaml
from featpoison import config
from featpoison.config import ConfigError, checks, declared
from featpoison.encoders.encoder import save_weights
from helpers import ROOT, SNAKEMAKE, ran
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = ("demo", "poisoned-encoder", "paper", "fashion", "cifar10", "embedded")
LOADED = {name: yaml.safe_load((ROOT / f"workflow/config/{name}.yaml").read_text()) for name in NAMES}
LOADED = json.loads(json.dumps(LOADED))  # no two places share a section, as those do that are aliases in YAML
Path = tuple[str | int, ...]


def places(values, path: Path = ()) -> list[tuple[Path, bool]]:
    """Every place of a configuration, and whether it is a section."""
    if isinstance(values, dict | list):
        parts = values.items() if isinstance(values, dict) else enumerate(values)
        own = [(path, True)] if isinstance(values, dict) else []
        return own + [found for key, value in parts for found in places(value, (*path, key))]
    return [(path, False)]


def changed(name: str, path: Path, value) -> dict:
    """A configuration with another value at one place, or with a further key there."""
    values = copy.deepcopy(LOADED[name])
    place = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return values


def mistakes(values) -> list[str]:
    """The lines about a configuration; none where it is accepted."""
    try:
        config.parse(values, "mine.yaml")
    except ConfigError as error:
        lines = str(error).splitlines()
        assert all(line.startswith("mine.yaml: ") for line in lines)
        return lines
    return []


def dotted(path: Path) -> str:
    return ".".join(map(str, path))


def cases(name: str):
    """A value of the wrong type at every place, and a key that does not exist in every section."""
    for path, section in places(LOADED[name]):
        yield pytest.param(
            name, (*path, "no_such_key") if section else path, section, id=f"{name}-{dotted(path)}"
        )


def refused(name: str, path: Path, section: bool) -> None:
    lines = mistakes(changed(name, path, 1 if section else {"no": "such"}))
    key, section_key = dotted(path), dotted(path[:-1])  # a choice of names is told by its section
    assert any(key in line or (section_key in line and str(path[-1]) in line) for line in lines), lines


@pytest.mark.parametrize(("name", "path", "section"), [*cases("demo")])
def test_a_wrong_type_or_an_unknown_key_is_refused_anywhere(name, path, section):
    refused(name, path, section)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "path", "section"), [case for name in NAMES if name != "demo" for case in cases(name)]
)
def test_a_wrong_type_or_an_unknown_key_is_refused_in_every_configuration(name, path, section):
    refused(name, path, section)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.integers(-3, 3), max_size=3),
    st.sampled_from(
        ["../x", "$(touch X)", "`id`", "a b", "'", '"', "a/b", "~", "", ".", "\0", "nan", "1e-5"]
    ),
)


@pytest.mark.parametrize("count", [150, pytest.param(3000, marks=pytest.mark.slow)])
def test_any_value_anywhere_is_accepted_or_refused_with_its_key(count):
    leaves = [path for path, section in places(LOADED["demo"]) if not section]

    @settings(max_examples=count, deadline=None)
    @given(st.sampled_from(leaves), SCALARS)
    def check(path, value):
        values = changed("demo", path, value)
        found = mistakes(values)  # anything but a ConfigError would pass through
        if isinstance(value, str) and path == ("output",) and not found:
            assert value.isascii()
            assert not set(value) & set("$`'\" \\;&|<>*?(){}[]!#~\n\0")

    check()


R, T = ("tables", "table1", "rows", 0), ("tables", "table1")
E, D = ("encoders", "embedded-simclr-cifar10"), ("datasets", "cifar10-5k")
ROW = {"method": "feature-matching", "beta": 0.1}
TABLE1 = LOADED["demo"]["tables"]["table1"]
OWN = {"format": "image-folder", "archive": {"path": "scripts"}}
TABLE = [
    # What a shell would run or split.
    *(
        (("output",), text, "output: ")
        for text in ("figures/$(touch X)", "a b", "`id`", "a;b", "../up", "/", "a'b", "")
    ),
    *((("scenarios", text), {}, "scenarios") for text in ("$(touch X)", "a b", "a/b", "-x", "_", "..")),
    *((("datasets", text), LOADED["demo"]["datasets"]["cifar10-5k"], "datasets") for text in ("a_b", "`id`")),
    # Numbers that paths cannot say, and numbers beyond use.
    ((*T, "budgets"), [0.1, 0.10000001], "tables.table1.budgets.1: 0.10000001 has more than six digits"),
    ((*T, "budgets"), [0.03, 0.1, 0.1], "tables.table1.budgets: [0.03, 0.1, 0.1], expected"),
    ((*T, "budgets"), [1e9], "tables.table1.budgets.0: 1e+09, expected at most 100"),
    ((*T, "budgets"), ["1e-5"], "write 1.0e-05"),
    ((*T, "budgets"), [math.nan], "tables.table1.budgets.0"),
    ((*T, "budgets"), [-math.inf], "tables.table1.budgets.0"),
    ((*T, "budgets"), [math.inf], "expected some of the table's [inf]"),
    ((*T, "budgets"), [], "tables.table1: budgets [0.03] of a row"),
    ((*T, "budgets"), 0.03, "tables.table1.budgets"),
    (R, ROW | {"beta": 0.1234567}, "tables.table1.rows.0.beta: 0.1234567 has more than six digits"),
    (R, ROW | {"beta": "1e-5"}, "tables.table1.rows.0.beta: "),
    (R, ROW | {"beta": math.nan}, "tables.table1.rows.0.beta"),
    (R, ROW | {"beta": math.inf}, "tables.table1.rows.0.beta"),
    (R, {"method": "gc-feature", "set": 1.23456789}, "1.23456789 has more than six digits"),
    (
        R,
        {"method": "gc-feature", "set": "emittable", "cap": 4.00000001},
        "tables.table1.rows.0.cap: 4.00000001",
    ),
    (("figures", "betas"), [0.1, 0.1], "figures.betas: [0.1, 0.1], expected none twice"),
    (("figures", "caps"), [1.0, 1.0], "figures.caps"),
    (("figures", "budget"), 0.03000001, "figures.budget"),
    # The same twice.
    ((*T, "rows"), [ROW, ROW], "tables.table1: row 1 (feature-matching) at budget 0.03 is that of row 0"),
    (
        (*T, "rows"),
        [ROW, ROW | {"budgets": [0.1]}],
        "row 1 (feature-matching) at budget 0.1 is that of row 0",
    ),
    ((*T, "rows"), [ROW, ROW | {"set": "free", "target": "gradpc-feature"}], "is that of row 0"),
    # The paper's numbers.
    ((*T, "paper"), "someone2020", "tables.table1.paper: Input should be 'lu2024'"),
    ((*T, "scenario"), "transfer", "tables.table1.scenario: 'transfer', expected 'fine-tuning'"),
    (
        ("tables", "table9"),
        LOADED["demo"]["tables"]["table1"],
        "tables.table9.paper: 'lu2024', expected null",
    ),
    (("tables", "mine"), TABLE1, "tables.mine"),
    # Sources.
    ((*E, "weights"), {}, "embedded-simclr-cifar10.weights: 'path' and 'url': neither is given"),
    ((*E, "weights", "url"), "https://example.org/w.pth", "weights: 'path' and 'url': both are given"),
    ((*E, "weights", "sha256"), "xyz", "weights.sha256: String should match pattern"),
    ((*E, "weights", "sha256"), "A" * 64, "weights.sha256"),
    ((*E, "weights", "md5"), "0" * 31, "weights.md5"),
    ((*E, "weights", "size"), 0, "weights.size"),
    ((*E, "weights"), {"url": "example.org/w.pth"}, "weights.url"),
    ((*E, "weights"), {"url": "https://example.org/"}, "weights.url"),
    ((*E, "weights", "path"), "data/absent.safetensors", "the file data/absent.safetensors does not exist"),
    ((*E, "weights", "path"), "data/embedded", "the file data/embedded does not exist"),
    ((*D, "archive"), {}, "datasets.cifar10-5k.archive"),
    ((*D, "archive", "sha256"), "0" * 63, "datasets.cifar10-5k.archive.sha256"),
    ((*D, "members", "data_batch_1.bin"), "12", "members.data_batch_1.bin"),
    ((*D, "train_images"), 100, "'train_images' and 'seed' go together"),
    (
        ("datasets", "own"),
        OWN | {"side": 1},
        "datasets.own.side",
    ),
    (
        ("datasets", "own"),
        OWN | {"side": 10**6},
        "datasets.own.side",
    ),
    (("datasets", "own"), OWN, "'side' is required"),
    (
        ("datasets", "own"),
        OWN | {"archive": {"path": "no/where"}, "side": 32},
        "folder no/where",
    ),
    # What an attack or an encoder does not have.
    (("attacks", "feature_matching", "beta"), 0.1, "attacks.feature_matching.beta: Extra inputs"),
    (("attacks", "feature_matching", "step"), 5, "the nearest known key is 'steps'"),
    (("atacks",), {}, "the nearest known key is 'attacks'"),
    (("figures", "sceario"), "transfer", "the nearest known key is 'scenario'"),
    ((*R, "methd"), "gc-input", "the nearest known key is 'method'"),
    (("tables", "table1", "budget"), [0.1], "the nearest known key is 'budgets'"),
    (("figures", "transfer"), "moon", "figures.transfer: 'moon' is unknown, expected one of"),
    (("victims", "seeds"), [], "victims.seeds: [], expected at least one value"),
    (("poison_seeds",), [0, 0], "poison_seeds: [0, 0], expected at least one value and none twice"),
    (("poison_seeds",), [-1], "poison_seeds.0"),
    (("shards",), 0, "shards: Input should be greater than 0"),
    (("gpu",), "perhaps", "gpu: Input should be a valid boolean"),
]


@pytest.mark.parametrize(
    ("path", "value", "message"), TABLE, ids=[f"{dotted(p)}={v}"[:70] for p, v, _ in TABLE]
)
def test_a_mistake_that_was_made_is_refused_in_words(path, value, message):
    lines = mistakes(changed("demo", path, value))
    assert any(message in line for line in lines), lines


DECODER = {"method": "decoder-inversion"}


def with_encoder(**architecture) -> dict:
    """The demo with the paper's rows and figures on an encoder that resizes its images."""
    entry = {"weights": {"url": "https://example.org/v.pth", "sha256": None}, "format": "moco-v3"}
    values = copy.deepcopy(LOADED["demo"])
    values["encoders"]["new"] = entry | {"architecture": architecture}
    values["scenarios"]["new"] = {"dataset": "cifar10-5k", "encoder": "new"}
    values["tables"] = {"table1": {"scenario": "new", "budgets": [0.03], "rows": [ROW, DECODER]}}
    values["figures"] |= {"scenario": "new", "growth": None}
    return values


def test_a_decoder_that_an_encoder_cannot_have_is_refused_when_the_configuration_is_read():
    values = with_encoder(name="vit-base-16", side=224)
    cannot = (
        "needs a decoder, which new (vit-base-16) cannot have, expected one of cifar-resnet18, resnet50, "
        "clip-resnet50"
    )
    assert mistakes(values) == [f"mine.yaml: tables.table1.rows.1: decoder-inversion {cannot}"]
    values["tables"]["table1"]["rows"] = [ROW]
    assert mistakes(values) == [f"mine.yaml: figures.reconstructions: Figure 4 {cannot}"]
    values["figures"]["reconstructions"] = False
    assert mistakes(values) == []
    assert mistakes(values | {"figures": None}) == []
    assert mistakes(with_encoder(name="resnet50", side=224)) == []


def test_a_file_of_this_project_says_itself_whether_it_can_have_a_decoder(tmp_path, monkeypatch):
    values = with_encoder(name="resnet50", side=224)
    path = tmp_path / "file.safetensors"
    monkeypatch.setattr(declared, "ROOT", tmp_path)
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    for name in ("data", "workflow"):
        (tmp_path / name).symlink_to(ROOT / name)
    values["encoders"]["new"] = {"weights": {"path": path.name}}
    architecture = '{"name": "torchvision:vgg11", "side": 64}'
    save_weights(path, {"w": torch.zeros(1)}, {"architecture": architecture})
    assert "(torchvision:vgg11) cannot have" in mistakes(values)[0]
    save_weights(path, {"w": torch.zeros(1)}, {"layout": "{}"})
    assert mistakes(values) == [
        "mine.yaml: file.safetensors: no 'architecture', expected an encoder of this project"
    ]


def test_a_pretraining_in_batches_of_one_is_refused():
    path = ("encoders", "continued-clean", "pretraining", "simclr", "batch_size")
    assert any(dotted(path) in line for line in mistakes(changed("poisoned-encoder", path, 1)))


FILES = {
    "empty": (b"", "holds null, expected keys and values"),
    "a list": (b"- 1\n", "holds [1], expected keys and values"),
    "a text": (b"hello\n", 'holds "hello", expected keys and values'),
    "tabs": (b"a:\n\tb: 1\n", "line 2: "),
    "no end": (b"a: [1, 2\n", "expected YAML"),
    "Latin-1": (b"output: caf\xe9\n", "expected YAML in UTF-8"),
    "zeros": (b"\0\0\0", "expected YAML in UTF-8"),
    "a key twice": (b"output: a\ngpu: false\noutput: b\n", "line 3: the key 'output' is given twice"),
    "a key twice below": (b"a: {b: 1, b: 2}\n", "line 1: the key 'b' is given twice"),
    "an object": (b"a: !!python/object/apply:os.system ['touch X']\n", "expected YAML"),
    "an alias of nothing": (b"a: *b\n", "expected YAML"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_configuration_is_named_with_the_line(name, tmp_path):
    content, message = FILES[name]
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_section_that_takes_over_another_ones_keys_may_have_them_too(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("a: &a {b: 1, c: 2}\nd: {<<: *a, b: 3}\ne: {<<: *a, b: 4}\n")
    assert config.read(path) == {"a": {"b": 1, "c": 2}, "d": {"b": 3, "c": 2}, "e": {"b": 4, "c": 2}}


PROGRAMS = {
    "snakemake": ([SNAKEMAKE, "-n", "--configfile"], 1),
    "plan_cost": (["scripts/plan_cost.py", "--configfile"], 1),
    "audit": (["scripts/audit.py", "README.md", "--configfile"], 2),
}


UNREADABLE = ("- 1\n", "a: [\n")
"""Snakemake reads configuration files before any code of this project runs, and names none."""


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("text", ["output: a\noutput: b\n", "output: $(touch X)\n", *UNREADABLE])
def test_programs_name_the_file_and_the_mistake(program, text, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    command, code = PROGRAMS[program]
    done = ran(*command, path)
    said = done.stdout + done.stderr
    assert done.returncode == code
    assert "Traceback" not in said
    assert ("Config file" if program == "snakemake" and text in UNREADABLE else "mine.yaml") in said
    assert not (ROOT / "X").exists()
