"""What programs say of files and arguments that somebody got wrong: an exit code, one line that names the
file or the option, no traceback, no product, and every file as it was."""

import json
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from archives import cifar10_members, jpeg, tar
from featpoison import store
from featpoison.attacks import names
from featpoison.datasets import tarred
from featpoison.datasets.sources import Dataset, load
from featpoison.encoders.encoder import load_encoder, save_weights
from featpoison.heads import SGD100
from featpoison.programs.errors import line_of
from featpoison.records.provenance import sha256_file
from featpoison.records.seal import read_metadata
from helpers import RECORD
from hypothesis import given, settings
from hypothesis import strategies as st
from test_attacking import PROGRAMS, arguments_of


@pytest.fixture
def refusal(execute, monkeypatch, capsys, tmp_path):
    """Runs a program that has to refuse what it is given: its exit code and its last line."""

    def run(program: str, *arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
        before = {path: sha256_file(path) for path in tmp_path.rglob("*") if path.is_file()}
        output = tmp_path / "made/product.h5"
        with pytest.raises((Exception, SystemExit)) as caught:
            execute(program, *arguments, output)
        error = caught.value
        if not isinstance(error, SystemExit):
            code, line = 1, line_of(error)
            assert line is not None, f"a traceback: {error!r}"
        elif isinstance(error.code, str):
            code, line = 1, error.code
        else:
            code, line = error.code, capsys.readouterr().err.strip().splitlines()[-1]
        assert "\n" not in line
        assert not output.exists()
        assert {path: sha256_file(path) for path in before} == before
        return code, line

    return run


def broken(path: Path, how: str, folder: Path) -> Path:
    """A copy of a file that was damaged in some way."""
    content, copy = path.read_bytes(), folder / f"bad{path.suffix}"
    middle = len(content) // 2
    damaged = {
        "empty": b"",
        "a text": b"these are no numbers\n" * 40,
        "cut in half": content[:middle],
        "cut at its end": content[:-1],
        "with a flipped bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "with a byte more": content + b"\0",
        "begun anew": bytes(600) + content[600:],
    }
    if how == "a folder":
        copy.mkdir()
    elif how != "absent":
        copy.write_bytes(damaged[how])
    return copy


DAMAGE = (
    *("empty", "a text", "cut in half", "cut at its end", "with a flipped bit", "with a byte more"),
    *("begun anew", "a folder", "absent"),
)
READ = {
    ("gradpc-feature", "features"),
    ("gradpc-feature", "clean"),
    ("reachable", "trajectory"),
    ("gc-feature", "target"),
    ("gc-input", "images"),
    ("gc-input", "encoder"),
    ("feature-matching", "pairs"),
    ("decoder-inversion", "poisoned"),
    ("decoder-inversion", "decoder"),
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("read", sorted(READ), ids="-".join)
def test_a_damaged_file_is_named(read, how, files, refusal, tmp_path):
    name, need = read
    path = broken(files[need], how, tmp_path)
    code, line = refusal(PROGRAMS[names.load(name).makes], *arguments_of(name, files, **{need: path}))
    assert code in (1, 2)
    assert str(path) in line


OTHERS = [
    *(
        ("gradpc-feature", "features", other)
        for other in ("images", "clean", "target", "pairs", "trajectory")
    ),
    *(("gradpc-feature", "clean", other) for other in ("features", "images", "pairs", "target")),
    *(("gc-feature", "target", other) for other in ("features", "images", "pairs", "clean")),
    *(("feature-matching", "pairs", other) for other in ("features", "images", "target")),
    *(("gc-input", "images", other) for other in ("features", "target", "clean")),
    *(("reachable", "trajectory", other) for other in ("features", "clean", "images")),
    *(("gc-input", "encoder", other) for other in ("decoder", "features")),
    *(("decoder-inversion", "decoder", other) for other in ("encoder", "images")),
]


@pytest.mark.parametrize(("name", "need", "other"), OTHERS, ids=lambda value: value)
def test_a_file_of_another_stage_is_named(name, need, other, files, refusal):
    code, line = refusal(PROGRAMS[names.load(name).makes], *arguments_of(name, files, **{need: files[other]}))
    assert code in (1, 2)
    assert str(files[other]) in line


LONG = [
    ("--budget", {"budget": "nan"}, "gc-input", "--budget: nan, expected a positive number"),
    ("--budget", {"budget": "inf"}, "gc-input", "--budget: inf, expected a positive number"),
    ("--budget", {"budget": 0}, "gc-input", "--budget: 0"),
    ("--budget", {"budget": "-0.1"}, "gc-input", "--budget: -0.1"),
    ("--budget", {"budget": "much"}, "gc-input", "--budget: invalid float value: 'much'"),
    ("--budget", {"budget": 0.001}, "gc-input", "eps_d = 0.001 of 40 training rows is less than one poison"),
    (
        "--budget",
        {"budget": 0.001},
        "gc-feature",
        "eps_d = 0.001 of 40 training rows is less than one poison",
    ),
    ("--budget", {"budget": 0.2}, "feature-matching", "--budget: 0.2, expected the 0.1 of"),
    ("--seed", {"seed": -1}, "gc-input", "--seed: -1, expected 0 or more"),
    ("--seed", {"seed": 0.5}, "gc-input", "--seed: invalid int value: '0.5'"),
    ("--device", {"device": "gpu0"}, "gc-input", "--device: 'gpu0', expected auto, cpu, cuda"),
    ("--device", {"device": ""}, "gc-input", "--device: '', expected auto, cpu, cuda"),
    ("--device", {"device": "cuda:99"}, "gc-input", "--device: 'cuda:99', expected auto, cpu, cuda"),
    ("--threads", {"threads": 0}, "gc-input", "--threads: 0, expected at least 1"),
    ("--threads", {"threads": "two"}, "gc-input", "--threads: invalid int value: 'two'"),
    ("--settings", {"settings": "{"}, "gc-input", "settings do not fit GCInput"),
    ("--settings", {"settings": "[]"}, "gc-input", "settings do not fit GCInput"),
    ("--settings", {"settings": '{"epochs": 0}'}, "gc-input", "epochs"),
    ("--settings", {"settings": '{"epochs": true}'}, "gc-input", "epochs"),
    ("--settings", {"settings": '{"no_such": 1}'}, "gc-input", "no_such"),
    ("--choice", {"choice": "{}"}, "gc-input", "settings do not fit Choice: method"),
    ("--choice", {"choice": '{"method": "gc-input", "beta": 0.1}'}, "gc-input", "--choice: 'beta' is 0.1"),
    ("--choice", {"choice": '{"method": "gc-input", "set": 2.0}'}, "gc-input", "--choice: 'set' is 2.0"),
    ("--attack", {"attack": "../x"}, "gc-input", "--attack: '../x' is unknown"),
    ("--shard", {"shard": "0-of-2"}, "feature-matching", "'0-of-2', expected one of 1-of-n to n-of-n"),
    ("--shard", {"shard": "1-of-5"}, "feature-matching", "over 5 jobs, expected at most a job for each"),
    ("--shard", {"shard": "2"}, "feature-matching", "'2', expected one of 1-of-n to n-of-n"),
]


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [case[1:] for case in LONG],
    ids=[f"{c[0]}-{c[2]}-{n}" for n, c in enumerate(LONG)],
)
def test_a_wrong_argument_is_named_before_work_starts(changes, name, message, files, refusal):
    arguments = arguments_of(name, files, **changes)
    code, line = refusal(PROGRAMS[names.load(name).makes], *(f"{part}" for part in arguments))
    assert code in (1, 2)
    assert message in line


def rewritten(path: Path, folder: Path, **changes: np.ndarray) -> Path:
    """A file with a seal that fits and other datasets."""
    copy = folder / "sealed.h5"
    store.write(copy, store.read(path) | changes, RECORD, **store.read_attributes(path))
    return copy


WRONG_FEATURES = {
    "labels of -1": (
        {"train_labels": np.full(40, -1)},
        "'train_labels' runs from -1 to -1, expected labels from 0 to 2",
    ),
    "labels beyond": ({"test_labels": np.full(20, 3)}, "'test_labels' runs from 3 to 3"),
    "labels as floats": (
        {"train_labels": np.zeros(40)},
        "'train_labels' is float64 (40,), expected int64 (n,)",
    ),
    "fewer labels": ({"train_labels": np.zeros(39, np.int64)}, "40 rows of 'train' and 39 labels"),
    "another width": ({"test": np.zeros((20, 3), np.float32)}, "and 3 features to train and to test on"),
    "another type": ({"train": np.zeros((40, 8))}, "'train' is float64 (40, 8), expected float32 (n, d)"),
    "another shape": ({"train": np.zeros((40, 8, 1), np.float32)}, "'train' is float32 (40, 8, 1)"),
    "no rows": (
        {"train": np.zeros((0, 64), np.float32), "train_labels": np.zeros(0, np.int64)},
        "0 rows of 'train'",
    ),
}


@pytest.mark.parametrize("name", WRONG_FEATURES)
def test_features_that_fit_no_task_are_named(name, files, refusal, tmp_path):
    changes, message = WRONG_FEATURES[name]
    path = rewritten(files["features"], tmp_path, **changes)
    code, line = refusal("train_heads", "--features", path, "--settings", "{}")
    assert code == 1
    assert line.startswith(str(path))
    assert message in line


def test_a_single_class_is_refused(files, refusal, tmp_path):
    path = tmp_path / "one.h5"
    arrays = store.read(files["features"])
    arrays |= {name: np.zeros_like(arrays[name]) for name in ("train_labels", "test_labels")}
    store.write(path, arrays, RECORD, classes=["a"])
    code, line = refusal("train_heads", "--features", path)
    assert (code, line) == (1, f"{path}: 1 class, expected at least 2")


def poisons(files, folder: Path, **changes: np.ndarray) -> Path:
    path = folder / "poisons.h5"
    arrays = {name: store.read(files["poisoned"])[name] for name in ("features", "labels", "base")}
    store.write(path, arrays | changes, RECORD, eps_d=0.1)
    return path


WRONG_POISONS = {
    "another width": ({"features": np.zeros((4, 3), np.float32)}, "3 features, expected"),
    "another type": ({"features": np.zeros((4, 64))}, "'features' is float64"),
    "labels beyond": ({"labels": np.full(4, 7)}, "'labels' runs from 7 to 7, expected labels from 0 to 2"),
    "labels of -1": ({"labels": np.full(4, -1)}, "'labels' runs from -1 to -1"),
    "fewer labels": ({"labels": np.zeros(3, np.int64)}, "3 labels, expected one for each of 4 poisons"),
    "bases beyond": ({"base": np.full(4, 40)}, "'base' runs from 40 to 40, expected rows from 0 to 39"),
}


@pytest.mark.parametrize("name", WRONG_POISONS)
def test_poisons_of_another_task_are_named(name, files, refusal, tmp_path):
    changes, message = WRONG_POISONS[name]
    path = poisons(files, tmp_path, **changes)
    code, line = refusal(
        "evaluate_attack", "--features", files["features"], "--poisons", path, "--poison-seeds", 0, "--"
    )
    assert code == 1
    assert line.startswith(str(path))
    assert message in line


def shard(folder: Path, name: str, number: str | None) -> Path:
    path = folder / f"{name}.h5"
    settings = {"shard": number} if number else {}
    store.write(path, {"x": np.ones(2)}, RECORD | {"settings": settings, "environment": {"device": "cpu"}})
    return path


SHARDS = (
    *(("1-of-2", "1-of-2"), ("2-of-2", "1-of-2"), ("1-of-3", "2-of-3")),
    *(("1-of-2",), (None, None), ("1-of-1", "2-of-2")),
)


@pytest.mark.parametrize("numbers", SHARDS, ids=str)
def test_shards_that_are_not_each_one_once_in_order_are_refused(numbers, refusal, tmp_path):
    paths = [shard(tmp_path, str(place), number) for place, number in enumerate(numbers)]
    code, line = refusal("gather_shards", "--shards", *paths, "--")
    assert code == 1
    assert any(line.startswith(f"{path}: shard ") for path in paths)
    assert "each shard once, in order" in line


def test_the_same_shard_twice_is_refused(refusal, tmp_path):
    path = shard(tmp_path, "one", "1-of-2")
    code, line = refusal("gather_shards", "--shards", path, path, "--")
    assert (code, line) == (1, f"{path}: shard 1-of-2, expected 2-of-2: each shard once, in order")


WEIGHTS = {
    "complex": (lambda tensor: tensor.to(torch.complex64), "is torch.complex64, expected real"),
    "NaN": (lambda tensor: tensor * torch.nan, "has NaN or infinity, expected finite weights"),
    "infinite": (lambda tensor: tensor + torch.inf, "has NaN or infinity"),
    "another shape": (lambda tensor: tensor[:1], "of another shape ["),
}


@pytest.mark.parametrize("how", WEIGHTS)
def test_weights_that_are_no_weights_are_refused(how, files, refusal, tmp_path):
    change, message = WEIGHTS[how]
    path = tmp_path / "odd.safetensors"
    state = load_encoder(files["encoder"]).trunk.state_dict()
    tensors = {key: value.contiguous() for key, value in state.items()}
    key = next(name for name, value in tensors.items() if value.dim() == 4)
    tensors[key] = change(tensors[key]).contiguous()
    architecture = json.dumps(read_metadata(files["encoder"])["architecture"])
    save_weights(path, tensors, {"architecture": architecture})
    code, line = refusal("import_encoder", "--settings", json.dumps({"path": str(path)}))
    assert code == 1
    assert line.startswith(str(path))
    assert message in line


def fetch(refusal, archive: Path, sha256: str | None = None, **entry: object) -> tuple[int, str]:
    source = {"path": str(archive), "sha256": sha256 or sha256_file(archive)}
    settings = json.dumps({"format": "cifar-10-binary", "archive": source} | entry)
    return refusal("fetch_dataset", "--downloads", archive.parent / "downloads", "--settings", settings)


def cifar(folder: Path, *, twice: str | None = None, **changes: bytes | None) -> Path:
    """An archive of CIFAR-10 with other members; None leaves one out."""
    members = {name.replace(".", "_"): name for name in cifar10_members(2)}
    content = cifar10_members(2) | {members[name]: data for name, data in changes.items()}
    path = tar(folder / "cifar.tar.gz", {name: data for name, data in content.items() if data is not None})
    if twice:
        with tarfile.open(path) as old, tarfile.open(folder / "twice.tar", "w") as new:
            for entry in [*old, old.getmember(f"cifar-10-batches-bin/{twice}")]:
                new.addfile(entry, old.extractfile(entry))
        return folder / "twice.tar"
    return path


WRONG_CIFAR = {
    "a member twice": ({"twice": "data_batch_1.bin"}, "member data_batch_1.bin is there twice"),
    "the test batch twice": ({"twice": "test_batch.bin"}, "member test_batch.bin is there twice"),
    "no test batch": ({"test_batch_bin": None}, "not a CIFAR-10 binary archive"),
    "no names": ({"batches_meta_txt": None}, "not a CIFAR-10 binary archive"),
    "half a record": (
        {"data_batch_1_bin": bytes(3000)},
        "data_batch_1.bin: 3000 bytes are no whole number",
    ),
    "nothing in it": ({"test_batch_bin": b""}, "member test_batch.bin: 0 bytes are no whole number"),
    "labels beyond": ({"data_batch_2_bin": b"\xff" + bytes(3072)}, "to 255, expected 0 to 9"),
    "a single class": ({"batches_meta_txt": b"one"}, "classes ['one'], expected at least two"),
    "names in Latin-1": ({"batches_meta_txt": b"caf\xe9 b c"}, "member batches.meta.txt: no text in UTF-8"),
}


@pytest.mark.parametrize("name", WRONG_CIFAR)
def test_an_archive_that_is_not_what_it_should_be_is_named(name, refusal, tmp_path):
    changes, message = WRONG_CIFAR[name]
    path = cifar(tmp_path, **changes)
    code, line = fetch(refusal, path)
    assert code == 1
    assert line.startswith(f"{path}: ")
    assert message in line


@pytest.mark.parametrize("part", [0, 1, 2, 3, 5, 8, 10, 20, 35, 50, 65, 80, 90, 95, 98, 99])
def test_an_archive_that_was_cut_off_is_named(part, refusal, tmp_path):
    path = cifar(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * part // 100])
    code, line = fetch(refusal, path)
    assert code == 1
    assert line.startswith(f"{path}: ")


def test_an_archive_of_a_members_worth_of_zeros_is_refused(refusal, tmp_path, monkeypatch):
    monkeypatch.setattr(tarred, "LARGEST", 20_000)
    path = cifar(tmp_path, data_batch_1_bin=bytes(3073 * 10))
    code, line = fetch(refusal, path)
    assert code == 1
    assert "member data_batch_1.bin has 30730 bytes" in line
    monkeypatch.setattr(tarred, "LARGEST", 7_000)
    code, line = fetch(refusal, cifar(tmp_path))
    assert "with those before it, expected at most 7000 and 14000" in line


def test_wrong_digests_of_archive_and_member_are_named(refusal, tmp_path):
    path = cifar(tmp_path)
    code, line = fetch(refusal, path, "0" * 64)
    assert code == 1
    assert f"{path}: sha256 is {sha256_file(path)}, expected {'0' * 64}" in line
    code, line = fetch(refusal, path, members={"test_batch.bin": "0" * 64})
    assert "member test_batch.bin has sha256" in line


def tiny(folder: Path, twice: str | None = None, **changes: bytes | None) -> Path:
    """An archive of Tiny-ImageNet with two classes."""
    root = "tiny-imagenet-200"
    content: dict[str, bytes | None] = {
        "wnids.txt": b"n1\nn2\n",
        "val/val_annotations.txt": b"v0.JPEG\tn1\t0\t0\nv1.JPEG\tn2\t0\t0\n",
        "train/n1/images/a.JPEG": jpeg(10),
        "train/n2/images/b.JPEG": jpeg(20),
        "val/images/v0.JPEG": jpeg(30),
        "val/images/v1.JPEG": jpeg(40),
    }
    short = {"wnids": "wnids.txt", "lines": "val/val_annotations.txt", "image": "train/n1/images/a.JPEG"}
    content |= {short.get(name, name): data for name, data in changes.items()}
    path = folder / "tiny.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            if data is not None:
                archive.writestr(f"{root}/{name}", data)
        if twice:
            archive.writestr(f"{root}/{short[twice]}", content[short[twice]] or b"")
    return path


WRONG_TINY = {
    "a member twice": ({"twice": "image"}, "train/n1/images/a.JPEG is there twice"),
    "no classes": ({"wnids": None}, "no member tiny-imagenet-200/wnids.txt"),
    "classes in Latin-1": ({"wnids": b"n\xe9\n"}, "wnids.txt: no whole text in UTF-8"),
    "a single class": ({"wnids": b"n1\n"}, "expected an image, a tab, and a class"),
    "no tab": ({"lines": b"v0.JPEG n1\n"}, "line 'v0.JPEG n1', expected an image, a tab, and a class"),
    "an unknown class": ({"lines": b"v0.JPEG\tn9\t0\n"}, "val_annotations.txt: line"),
    "an absent image": ({"lines": b"v7.JPEG\tn1\t0\n"}, "val/images/v7.JPEG: no whole image"),
    "no picture": ({"image": b"no picture"}, "train/n1/images/a.JPEG: no whole image"),
    "half a picture": ({"image": jpeg(10)[:100]}, "train/n1/images/a.JPEG: no whole image"),
    "a stranger": ({"train/n9/images/c.JPEG": jpeg(1)}, "train/n9/images/c.JPEG: its class is not in"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", WRONG_TINY)
def test_a_zip_archive_that_is_not_what_it_should_be_is_named(name, refusal, tmp_path):
    changes, message = WRONG_TINY[name]
    path = tiny(tmp_path, **changes)
    code, line = fetch(refusal, path, format="tiny-imagenet-200", side=32)
    assert code == 1
    assert line.startswith(f"{path}: ")
    assert message in line


@pytest.mark.parametrize("part", [0, 1, 10, 50, 90, 99])
def test_a_zip_archive_that_was_cut_off_is_named(part, refusal, tmp_path):
    path = tiny(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * part // 100])
    code, line = fetch(refusal, path, format="tiny-imagenet-200", side=32)
    assert code == 1
    assert line.startswith(f"{path}: damaged, expected a whole zip archive")


def test_a_zip_archive_of_a_later_version_is_named(refusal, tmp_path):
    path = tiny(tmp_path)
    content = bytearray(path.read_bytes())
    content[content.find(b"PK\x01\x02") + 6] = 64  # version needed, of the first member
    path.write_bytes(content)
    code, line = fetch(refusal, path, format="tiny-imagenet-200", side=32)
    assert code == 1
    assert line.startswith(f"{path}: damaged, expected a whole zip archive")


def raised_by(action: Callable[[], object]) -> Exception | None:
    """What an action raises, if anything."""
    try:
        action()
    except Exception as error:
        return error
    return None


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("count", [40, pytest.param(1500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("form", ["cifar-10-binary", "tiny-imagenet-200"])
def test_an_archive_with_any_bytes_changed_is_read_or_named(form, count, tmp_path_factory):
    """Without a digest that would find every change before."""
    folder = tmp_path_factory.mktemp("changed")
    path = cifar(folder) if form == "cifar-10-binary" else tiny(folder)
    whole = path.read_bytes()
    entry = {"format": form, "archive": {"path": str(path)}}
    dataset = Dataset.model_validate(entry | ({"side": 8} if form == "tiny-imagenet-200" else {}))

    @settings(max_examples=count, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), min_size=1, max_size=5))
    def check(changes):
        content = bytearray(whole)
        for place, value in changes:
            content[place] = value
        path.write_bytes(content)
        error = raised_by(lambda: load(dataset, folder))
        assert error is None or str(line_of(error)).startswith(str(path)), repr(error)

    check()


def test_a_mistake_of_the_code_keeps_its_traceback():
    def own() -> None:
        raise ValueError("here")

    def another() -> None:
        np.zeros(3) @ np.zeros(4)

    for wrong, message in ((own, "here"), (another, "size 4")):  # neither is raised by the library
        with pytest.raises(ValueError, match=message) as caught:
            wrong()
        assert line_of(caught.value) is None
    with pytest.raises(ValueError, match="epochs") as caught:
        SGD100(epochs=0)
    assert line_of(caught.value) is None
