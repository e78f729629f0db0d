"""Measures of targets as a program: what it writes, and wrong usage."""

import json

import numpy as np
import pytest
from featpoison import store
from featpoison.config import load
from featpoison.datasets import sources
from featpoison.pretraining.poison_files import PoisonFile
from featpoison.pretraining.target_files import TargetFile
from helpers import RECORD, ROOT

EXPOSURE = json.dumps({"epochs": 3, "augmentation": {}, "subset": None, "share": 0.75})


@pytest.fixture
def poisons(files, execute, tmp_path):
    """A poisoning set for the files of this folder, aimed at four test images."""
    execute(
        "poison_pretraining",
        *("--attack", "poisoned-encoder", "--images", files["images"]),
        *("--downstream", f"letters={files['images']}", "--rate", 0.5, "--seed", 1),
        *("--settings", json.dumps({"targets": {"letters": 4}, "references": 3})),
        *("--", tmp_path / "poisons.h5"),
    )
    return tmp_path / "poisons.h5"


@pytest.fixture
def heads(files, execute, tmp_path):
    """Both victims on the features of this folder."""
    settings = json.dumps({"seeds": [0, 1], "sgd100": {"epochs": 10, "batch_size": 16}})
    execute("train_heads", "--features", files["features"], "--settings", settings, tmp_path / "heads.h5")
    return tmp_path / "heads.h5"


def arguments_of(files, poisons, heads, task="letters"):
    own = ("--poisons", poisons, "--task", task)
    return [*own, "--features", files["features"], "--heads", heads]


def test_every_target_of_the_task_is_measured(files, poisons, heads, execute, tmp_path):
    seen = ("--exposure", EXPOSURE, "--seen-images", files["images"], "--seen-poisons", poisons)
    execute("measure_targets", *arguments_of(files, poisons, heads), *seen, tmp_path / "seen.h5")
    execute("measure_targets", *arguments_of(files, poisons, heads), tmp_path / "unseen.h5")
    one, other = store.read(tmp_path / "seen.h5"), store.read(tmp_path / "unseen.h5")
    pairs = list(zip(one["target"].tolist(), one["label"].tolist(), strict=True))
    assert [(0, *pair) for pair in pairs] == PoisonFile(poisons).targets()
    assert len(pairs) == 4
    assert (one["cross_pairs"] > 0).all()
    assert (other["cross_pairs"] == 0).all()
    for name in ("sgd100_predictions", "converged_rank", "cosine"):
        np.testing.assert_array_equal(one[name], other[name])
    assert set(store.read_provenance(tmp_path / "unseen.h5")["inputs"]) == {
        str(path) for path in (poisons, files["features"], heads)
    }


@pytest.fixture
def targets(files, poisons, execute):
    """The same targets in a file of their own."""
    path = poisons.with_name("targets.h5")
    given = ("--pretraining-images", files["images"], "--task", "letters", "--images", files["images"])
    execute("embed_targets", "--poisons", poisons, *given, path)
    return path


def measured_by_file(files, heads, execute, targets, output, **changes):
    own = {"targets": targets, "task": "letters", "heads": heads, "exposure": EXPOSURE}
    own |= {name: files[name] for name in ("images", "encoder", "features")} | changes
    execute(
        "measure_targets", *(part for name, value in own.items() for part in (f"--{name}", value)), output
    )
    return store.read(output)


def test_targets_in_a_file_are_measured_as_those_of_the_poisons(files, poisons, heads, targets, execute):
    first, second = (poisons.with_name(name) for name in ("first.h5", "second.h5"))
    seen = ("--exposure", EXPOSURE, "--seen-images", files["images"], "--seen-poisons", poisons)
    execute("measure_targets", *arguments_of(files, poisons, heads), *seen, first)
    one, other = store.read(first), measured_by_file(files, heads, execute, targets, second)
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_allclose(other[name], array, rtol=1e-12, err_msg=name)


def without(files, targets, folder):
    """Images and features of a task whose test images are not the targets, with its classes the other way
    round."""
    kept = ~np.isin(np.arange(20), targets)
    made = {}
    for name in ("images", "features"):
        arrays = store.read(files[name])
        for part in ("train", "test"):
            arrays[f"{part}_labels"] = 2 - arrays[f"{part}_labels"]
        for part in ("test_labels", "test_images" if name == "images" else "test"):
            arrays[part] = arrays[part][kept]
        made[name] = folder / f"{name}.h5"
        store.write(made[name], arrays, RECORD, classes=["c", "b", "a"])
    return made, kept


def test_targets_that_the_task_does_not_have_are_added_to_its_test_inputs(
    files, heads, targets, execute, tmp_path
):
    """Success and accuracy are those of the task that has them; classes are told by their names."""
    one = measured_by_file(files, heads, execute, targets, tmp_path / "whole.h5")
    made, kept = without(files, one["target"], tmp_path)
    arrays = {
        name: omega[..., ::-1, :] for name, omega in store.read(heads).items() if name.endswith("omega")
    }
    store.write(tmp_path / "turned.h5", arrays, RECORD)
    turned = tmp_path / "turned.h5"
    other = measured_by_file(files, turned, execute, targets, tmp_path / "small.h5", **made)
    assert other["target"].tolist() == [16, 17, 18, 19]
    np.testing.assert_array_equal(other["label"], 2 - one["label"])
    for victim in ("sgd100", "converged"):
        predictions, whole = other[f"{victim}_predictions"], one[f"{victim}_predictions"]
        np.testing.assert_array_equal(predictions[:, :16], 2 - whole[:, kept])
        np.testing.assert_array_equal(predictions[:, other["target"]], 2 - whole[:, one["target"]])
        np.testing.assert_allclose(other[f"{victim}_probability"], one[f"{victim}_probability"], rtol=1e-5)
        np.testing.assert_array_equal(other[f"{victim}_rank"], one[f"{victim}_rank"])
    np.testing.assert_allclose(other["cosine"], one["cosine"], rtol=1e-5)
    np.testing.assert_allclose(other["cross_pairs"], one["cross_pairs"])


def test_a_task_that_the_targets_do_not_fit_is_named(files, heads, targets, execute, tmp_path):
    whole = store.read(files["images"])
    first = store.read(targets, "images")["images"][0]
    small = {name: array[..., ::2, ::2] if "images" in name else array for name, array in whole.items()}
    trained = whole | {"train_images": np.concatenate([whole["train_images"][:39], first[None]])}
    for arrays, classes, message in (
        (
            trained,
            "abc",
            r"targets\.h5: target 0 is training image 39 of .*images\.h5, expected inputs that no",
        ),
        (small, "abc", r"targets\.h5: images of 32 x 32 px, expected 16 x 16 as .*images\.h5"),
        (whole, "xyz", r"targets\.h5: targets of class '[abc]', expected classes of the task: x, y, z"),
    ):
        store.write(tmp_path / "images.h5", arrays, RECORD, classes=list(classes))
        changed = {"images": tmp_path / "images.h5"}
        with pytest.raises(SystemExit, match=message):
            measured_by_file(files, heads, execute, targets, tmp_path / "out.h5", **changed)
    with pytest.raises(SystemExit, match=r"images\.h5: no dataset 'images'"):
        measured_by_file(files, heads, execute, files["images"], tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_embedded_targets_are_no_training_images_of_the_demo(tmp_path):
    dataset = load(ROOT / "workflow/config/demo.yaml").datasets["cifar10-5k"]
    images, _ = sources.load(dataset, tmp_path)
    store.write(tmp_path / "images.h5", images.arrays(), RECORD, classes=images.classes)
    for count in (10, 50):
        targets = TargetFile(ROOT / f"data/reference/encoders/simclr-w16-poisoned-{count}.targets.h5")
        own, wanted = targets.numbered_as(images.classes)
        places = targets.places_in(tmp_path / "images.h5")  # raises for a training image
        assert len(places) == count
        assert (own != wanted).all()
        known = places >= 0
        assert 0 < known.sum() < count
        np.testing.assert_array_equal(images.test_labels[places[known]], own[known])
        assert targets.poisons.sum() == sum(kind.count for kind in targets.kinds.values())


WRONG = [
    ("letters", ["--exposure", EXPOSURE], "expected all of them or none"),
    ("letters", ["--encoder", ROOT / "README.md"], "--images and --encoder: expected only with --targets"),
    ("letters", ["--targets", ROOT / "README.md"], "not allowed with argument --poisons"),
    ("numbers", [], "'task' is 'numbers', expected one of letters"),
]


def test_wrong_usage_is_named(files, poisons, heads, execute, capsys):
    output = poisons.with_name("out.h5")
    for task, more, message in WRONG:
        with pytest.raises(SystemExit) as stopped:
            execute("measure_targets", *arguments_of(files, poisons, heads, task), *more, output)
        assert message in capsys.readouterr().err + str(stopped.value)
    with pytest.raises(SystemExit):
        execute("measure_targets", "--targets", poisons, *arguments_of(files, poisons, heads)[2:], output)
    assert "--targets: expected --images and --encoder" in capsys.readouterr().err
    assert not output.exists()
