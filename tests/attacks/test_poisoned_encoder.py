"""PoisonedEncoder: what its images are made of, and what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest
from featpoison import store
from featpoison.attacks import names
from featpoison.attacks.attack import Made
from featpoison.attacks.operations import Sizes
from featpoison.attacks.poisoned_encoder import ACROSS, DOWN, PRETRAINING_ATTACK, PoisonedEncoder, combine
from featpoison.attacks.pretraining_attack import PretrainingAttack, PretrainingRun, image_count
from featpoison.programs import chosen
from featpoison.records.provenance import module_file
from helpers import RECORD

GENERATOR = np.random.default_rng(0)
CLASSES = {"letters": ("a", "b", "c"), "numbers": ("one", "two")}


def write_images(path, classes, *, side=8, train=60, test=12):
    """Random images; the last class has no training image where there are three."""
    images = {
        f"{part}_images": GENERATOR.integers(0, 256, (count, 3, side, side), np.uint8)
        for part, count in (("train", train), ("test", test))
    }
    labels = {
        "train_labels": np.arange(train) % min(len(classes), 2),
        "test_labels": np.arange(test) % len(classes),
    }
    store.write(path, images | labels, RECORD, classes=classes)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    made = {name: write_images(folder / f"{name}.h5", classes) for name, classes in CLASSES.items()}
    return made | {
        "clean": write_images(folder / "clean.h5", ("x", "y"), train=100),
        "large": write_images(folder / "large.h5", ("x", "y"), side=16),
        "odd": write_images(folder / "odd.h5", ("x", "y"), side=7),
    }


def run_of(files, rate=0.2, seed=0, images="clean", downstream=("letters", "numbers"), **settings):
    settings = {
        "targets": {"letters": [{"row": 0, "label": 1}, {"row": 5, "label": 0}], "numbers": 3}
    } | settings
    usual = PoisonedEncoder.model_validate({"references": 7} | settings)
    return PretrainingRun(usual, files[images], {name: files[name] for name in downstream}, rate, seed)


def halves_of(image, stacked):
    """The two halves of a combination (3, h, w), the left or upper one first."""
    return np.split(image, 2, axis=1 if stacked else 2)


def in_order(made: Made):
    """Every combination, and whether it is a stacked one, as the columns count them."""
    beside, stacked = made.arrays["images_beside"], made.arrays["images_stacked"]
    return [(image, False) for image in beside] + [(image, True) for image in stacked]


@pytest.mark.parametrize("arrangement", ["beside", "stacked", "random"])
@pytest.mark.parametrize("order", ["target-first", "reference-first", "random"])
def test_a_combination_is_its_target_and_its_reference(files, arrangement, order):
    given = run_of(files, arrangement=arrangement, order=order, rate=0.5)
    made = PRETRAINING_ATTACK.run(given)
    arrays, images = made.arrays, in_order(made)
    assert len(images) == 50
    assert {len(array) for name, array in arrays.items() if not name.startswith("images")} == {50}
    assert arrays["images_beside"].shape[1:] == (3, 8, 16)
    assert arrays["images_stacked"].shape[1:] == (3, 16, 8)
    count = len(arrays["images_stacked"])
    assert {"beside": count == 0, "stacked": count == 50, "random": 10 < count < 40}[arrangement]
    firsts = arrays["target_first"].sum()
    assert {"target-first": firsts == 50, "reference-first": firsts == 0, "random": 10 < firsts < 40}[order]
    assert made.facts == {"rate": 0.5, "tasks": ["letters", "numbers"], "targets": 5}
    clean = {name: store.read(files[name]) for name in CLASSES}
    for row, (image, stacked) in enumerate(images):
        task = clean[made.facts["tasks"][arrays["task"][row]]]
        target = task["test_images"][arrays["target"][row]]
        reference = task["train_images"][arrays["reference"][row]]
        shown = (target, reference) if arrays["target_first"][row] else (reference, target)
        np.testing.assert_array_equal(np.stack(halves_of(image, stacked)), np.stack(shown))
        assert task["train_labels"][arrays["reference"][row]] == arrays["label"][row]
        assert task["test_labels"][arrays["target"][row]] != arrays["label"][row]


def test_targets_and_references_share_evenly(files):
    arrays = PRETRAINING_ATTACK.run(run_of(files, rate=1.0)).arrays
    aims = np.stack([arrays["task"], arrays["target"], arrays["label"]], 1)
    found, counts = np.unique(aims, axis=0, return_counts=True)
    assert len(found) == 5
    assert set(counts) == {20}
    assert [0, 0, 1] in found.tolist()
    assert [0, 5, 0] in found.tolist()
    for aim in found:
        rows, times = np.unique(arrays["reference"][(aims == aim).all(1)], return_counts=True)
        assert len(rows) == 7
        assert set(times) <= {2, 3}


def test_chance_is_that_of_the_seed(files):
    first, again, other = (PRETRAINING_ATTACK.run(run_of(files, seed=seed)).arrays for seed in (0, 0, 1))
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
    for name in ("target", "reference", "target_first"):
        assert not np.array_equal(first[name], other[name]), name
    # Whom it aims at depends on nothing else: not on the shape, not on the rate.
    shaped = PRETRAINING_ATTACK.run(run_of(files, halves="cropped", arrangement="beside", rate=0.9)).arrays
    targets = [
        set(zip(one["task"].tolist(), one["target"].tolist(), one["label"].tolist(), strict=True))
        for one in (first, shaped)
    ]
    assert targets[0] == targets[1]


def test_references_that_are_named_are_those(files):
    targets = {"letters": [{"row": 0, "label": 1, "references": [3, 9]}]}
    given = run_of(files, targets=targets, downstream=("letters",))
    assert set(PRETRAINING_ATTACK.run(given).arrays["reference"].tolist()) == {3, 9}


@pytest.mark.parametrize("axis", [ACROSS, DOWN])
def test_halves_that_are_not_whole_have_the_size_of_an_image(axis):
    first, second = (GENERATOR.integers(0, 256, (4, 3, 6, 8), np.uint8) for _ in range(2))
    first[0], second[0] = 250, 10
    length = first.shape[axis]
    for halves in ("resized", "cropped"):
        made = combine(first, second, axis=axis, halves=halves)
        assert made.dtype == np.uint8
        assert made.shape == first.shape
        one, other = np.split(made, 2, axis)
        assert (one[0] == 250).all()
        assert (other[0] == 10).all()
        for half, image in ((one, first), (other, second)):
            kept = np.moveaxis(image.astype(float), axis, -1)
            if halves == "cropped":
                quarter = length // 4
                expected = kept[..., quarter : quarter + length // 2]
            else:
                expected = np.rint(kept.reshape(*kept.shape[:-1], length // 2, 2).mean(-1))
            np.testing.assert_array_equal(np.moveaxis(half, axis, -1), expected)
    whole = combine(first, second, axis=axis, halves="whole")
    assert whole.shape[axis] == 2 * length
    np.testing.assert_array_equal(whole, np.concatenate([first, second], axis))


WRONG = [
    ({"rate": 0.0}, "'rate' is 0, expected more than 0 and at most 1"),
    ({"rate": -0.1}, "'rate' is -0.1, expected more than 0 and at most 1"),
    ({"rate": 1.5}, "'rate' is 1.5, expected more than 0 and at most 1"),
    ({"rate": float("nan")}, "'rate' is nan, expected more than 0 and at most 1"),
    ({"rate": 0.004}, "'rate' is 0.004, which of 100 images is none, expected at least 0.01"),
    ({"rate": 0.04}, "'rate' is 0.04, which makes 4 images, expected at least one for each of 5 targets"),
    ({"targets": {}}, "'targets' is empty, expected the targets of at least one"),
    ({"targets": {"letters": 1}}, r"'targets' is of \['letters'\], expected \['letters', 'numbers'\]"),
    ({"downstream": ("letters",)}, r"'targets' is of \['letters', 'numbers'\], expected \['letters'\]"),
    ({"targets": {"letters": [], "numbers": 1}}, "'targets.letters' is empty, expected at least one target"),
    (
        {"targets": {"numbers": 13}, "downstream": ("numbers",)},
        "'targets.numbers' is 13, expected at most 12: the test images",
    ),
    (
        {"references": 31},
        "'references' is 31, but of class 1, b, which 'targets.letters.0' wants, there are 30 training",
    ),
    (
        {"images": "large"},
        r"'targets.letters': train_images of .*letters.h5 are 8 x 8 px, expected the 16 x 16 px",
    ),
    (
        {"targets": {"letters": 1, "large": 1}, "downstream": ("letters", "large")},
        r"'targets.large': train_images of .*large.h5 are 16 x 16 px, expected the 8 x 8 px of .*clean.h5",
    ),
    (
        {"targets": {"odd": 1}, "downstream": ("odd",), "images": "odd", "halves": "resized"},
        "'halves' is 'resized', expected 'whole' for images of 7 x 7 px",
    ),
]
ONE = [
    ({"row": 12, "label": 1}, "'targets.letters.0.row' is 12, expected 0 to 11: a test image"),
    ({"row": 0, "label": 3}, "'targets.letters.0.label' is 3, expected 0 to 2: a class"),
    ({"row": 4, "label": 1}, "'targets.letters.0.label' is 1, the target's own class 1, b; expected another"),
    (
        {"row": 0, "label": 2},
        "'references' is 7, but of class 2, c, which 'targets.letters.0' wants, there are 0 training images",
    ),
    ({"row": 0, "label": 1, "references": []}, "'targets.letters.0.references' is empty, expected training"),
    (
        {"row": 0, "label": 1, "references": [1, 60]},
        "'targets.letters.0.references' has 60, expected rows of 0 to 59 that are of class 1, b",
    ),
    ({"row": 0, "label": 1, "references": [2]}, "'targets.letters.0.references' has 2, expected rows"),
]
WRONG += [({"targets": {"letters": [one]}, "downstream": ("letters",)}, message) for one, message in ONE]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_what_does_not_fit_is_named_before_an_image_is_read(changes, message, files, monkeypatch):
    read = store.read

    def labels_alone(path, *wanted, **chosen):
        assert not [name for name in wanted if name.endswith("images")]
        return read(path, *wanted, **chosen)

    monkeypatch.setattr(store, "read", labels_alone)
    with pytest.raises(ValueError, match=message):
        PRETRAINING_ATTACK.run(run_of(files, **changes))


def test_no_class_is_another_where_there_is_one(tmp_path, files):
    given = run_of(files, targets={"numbers": 1}, downstream=("numbers",))
    write_images(tmp_path / "one.h5", ("only",))
    with pytest.raises(ValueError, match=r"'targets\.numbers' has 1 class, expected at least 2"):
        PRETRAINING_ATTACK.run(replace(given, downstream={"numbers": tmp_path / "one.h5"}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"targets": {"letters": 0}}, "greater than 0"),
        ({"targets": {"letters": [{"row": -1, "label": 0}]}}, "greater than or equal to 0"),
        ({"targets": {"letters": [{"row": 1}]}}, "label"),
        ({"references": 0}, "references"),
        ({"halves": "square"}, "'whole', 'resized' or 'cropped'"),
        ({"order": "none"}, "'target-first', 'reference-first' or 'random'"),
    ],
)
def test_settings_that_are_none_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        PoisonedEncoder.model_validate_json(json.dumps(values))


def test_the_count_is_rounded():
    assert image_count(0.01, 50_000) == 500
    assert image_count(1.0, 3) == 3
    assert image_count(0.016, 100) == 2


def test_the_file_holds_what_was_made(files, tmp_path):
    made = PRETRAINING_ATTACK.run(run_of(files))
    store.write(tmp_path / "p.h5", made.arrays, RECORD, **made.facts)
    store.verify(tmp_path / "p.h5")
    for name, array in store.read(tmp_path / "p.h5").items():
        assert array.dtype == made.arrays[name].dtype
        np.testing.assert_array_equal(array, made.arrays[name])


# What every attack on pre-training says of itself


def test_an_attack_on_pretraining_is_named_as_its_file():
    folder = module_file("featpoison.attacks.names").parent
    found = [path.stem for path in folder.glob("*.py") if "\nPRETRAINING_ATTACK = " in path.read_text()]
    assert "poisoned_encoder" in found
    for stem in found:
        attack, _ = chosen.load("attacks", "PRETRAINING_ATTACK", stem.replace("_", "-"))
        assert isinstance(attack, PretrainingAttack)
        assert attack.name == stem.replace("_", "-")
        assert attack.name not in names.NAMES
        assert attack.settings() == attack.settings()  # every field has a default
        sizes = Sizes(train=500, test=200, side=32, classes=10, features=16, forward=1e6)
        assert 0 < attack.memory(sizes, attack.settings(), 10) < attack.memory(sizes, attack.settings(), 1000)
