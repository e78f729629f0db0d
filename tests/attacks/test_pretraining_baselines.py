"""The baselines of PoisonedEncoder, and what all attacks on pre-training share."""

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.attacks import pretraining_names
from featpoison.attacks.cross_pairs import Exposure, cross_probability, expected_by_image, half_probabilities
from featpoison.attacks.pretraining_attack import PretrainingAttack, PretrainingRun
from featpoison.attacks.pretraining_targets import Targets
from featpoison.pretraining.augment import Augmentation, draw_crops
from featpoison.pretraining.poison_files import PoisonFile
from featpoison.pretraining.poison_sets import read_poison_sets
from featpoison.records.provenance import module_file
from helpers import RECORD


def write_images(path, classes, train=60, test=12):
    generator = np.random.default_rng(0)
    arrays = {
        f"{part}_images": generator.integers(0, 256, (count, 3, 8, 8), np.uint8)
        for part, count in (("train", train), ("test", test))
    }
    arrays |= {
        f"{part}_labels": np.arange(n) % len(classes) for part, n in (("train", train), ("test", test))
    }
    store.write(path, arrays, RECORD, classes=classes)
    return path


@pytest.fixture(scope="module")
def downstream(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return {
        name: write_images(folder / f"{name}.h5", classes)
        for name, classes in (("letters", ("a", "b", "c")), ("numbers", ("one", "two")))
    }


@pytest.fixture(scope="module")
def made(downstream):
    """Of every attack with the same settings, by name."""
    values = {"targets": {"letters": 3, "numbers": 2}, "references": 5}
    result = {}
    for name, attack in pretraining_names.load_all().items():
        settings = attack.settings.model_validate(values)
        result[name] = attack.run(PretrainingRun(settings, downstream["letters"], downstream, 0.5, 3))
    return result


def test_names_are_those_of_the_files():
    folder = module_file("featpoison.attacks.names").parent
    found = {path.stem for path in folder.glob("*.py") if "\nPRETRAINING_ATTACK = " in path.read_text()}
    assert {name.replace("-", "_") for name in pretraining_names.NAMES} == found
    for name, attack in pretraining_names.load_all().items():
        assert isinstance(attack, PretrainingAttack)
        assert issubclass(attack.settings, Targets)
        assert attack.name == name
    with pytest.raises(ValueError, match="'icp' is unknown, expected one of poisoned-encoder"):
        pretraining_names.load("icp")


def test_names_of_settings_and_of_a_poisoning_do_not_collide():
    """A record holds both side by side."""
    for attack in pretraining_names.load_all().values():
        assert not {"attack", "rate", "poison_seed"} & attack.settings.model_fields.keys()


def test_baselines_are_made_of_the_targets_and_references_of_the_attack(made):
    def triples(name):
        columns = (made[name].arrays[key].tolist() for key in ("task", "target", "reference", "label"))
        return sorted(zip(*columns, strict=True))

    assert triples("reference-images") == triples("target-images") == triples("poisoned-encoder")
    assert len(triples("target-images")) == 30


@pytest.mark.parametrize(
    ("name", "part", "column"),
    [("reference-images", "train_images", "reference"), ("target-images", "test_images", "target")],
)
def test_a_baseline_holds_whole_images(made, downstream, name, part, column):
    arrays = made[name].arrays
    for image, task, row in zip(arrays["images_whole"], arrays["task"], arrays[column], strict=True):
        path = downstream[made[name].facts["tasks"][task]]
        np.testing.assert_array_equal(image, store.read(path, part)[part][row])


def test_a_poisoning_set_is_read_back(made, tmp_path):
    for name, one in made.items():
        path = tmp_path / f"{name}.h5"
        store.write(path, one.arrays, RECORD | {"settings": {"attack": name}}, **one.facts)
        poisons = PoisonFile(path)
        assert (poisons.attack, poisons.tasks) == (name, ["letters", "numbers"])
        assert len(poisons.targets()) == 5
        rows = [row for triple in poisons.targets() for row in poisons.rows_of(*triple)]
        assert sorted(rows) == list(range(30))
        in_order = [image.numpy() for images in read_poison_sets(path) for image in images]
        for one_image, other in zip(poisons.images(np.arange(30)), in_order, strict=True):
            np.testing.assert_array_equal(one_image, other)
        (backwards,) = poisons.images(np.array([29]))
        np.testing.assert_array_equal(backwards, in_order[29])


# What a training sees of a set


SEEN = Exposure(epochs=7, augmentation=Augmentation(), subset=None, share=0.75)


def test_expected_cross_pairs_of_a_set_are_those_of_its_images(made, tmp_path):
    path = tmp_path / "p.h5"
    one = made["poisoned-encoder"]
    store.write(path, one.arrays, RECORD, **one.facts)
    found = expected_by_image(path, 60, SEEN)
    counts = [len(one.arrays[name]) for name in ("images_beside", "images_stacked")]
    assert len(found) == sum(counts) == 30
    assert min(counts) > 0
    beside, stacked = (
        7 * cross_probability(size, Augmentation(), stacked=high, share=0.75)
        for size, high in (((8, 16), False), ((16, 8), True))
    )
    np.testing.assert_allclose(found, np.repeat([beside, stacked], counts))
    half = expected_by_image(path, 60, SEEN.model_copy(update={"subset": 45}))
    np.testing.assert_allclose(half, found / 2)  # 45 of 90 images


def test_cross_pairs_of_a_set_are_counted_in_simulated_training(made, tmp_path):
    """Two crops of each image in each of many epochs, by the views' own draws."""
    path = tmp_path / "p.h5"
    one = made["poisoned-encoder"]
    store.write(path, one.arrays, RECORD, **one.facts)
    epochs, share = 400, 0.75
    seen = SEEN.model_copy(update={"epochs": epochs})
    counted = 0
    for name, axis in (("images_beside", 1), ("images_stacked", 0)):
        size, n = one.arrays[name].shape[2:], len(one.arrays[name]) * epochs
        views = []
        for view in range(2):
            stream = torch.Generator().manual_seed(10 * axis + view)
            top, left, height, width = draw_crops(n, size, seen.augmentation, stream)
            start, length = (left, width) if axis else (top, height)
            inside = ((0.5 - start).clamp(min=0).minimum(length) / length).numpy()
            views.append(np.where(inside >= share - 1e-6, 1, np.where(1 - inside >= share - 1e-6, 2, 0)))
        first, second = views
        counted += int(((first * second) == 2).sum())
    expected = expected_by_image(path, 60, seen).sum()
    assert abs(counted - expected) < 5 * expected**0.5


def test_without_crops_and_without_combinations_there_are_no_cross_pairs(made, tmp_path):
    assert half_probabilities((8, 16), Augmentation(crop_scale=None), stacked=False, share=0.75) == (0, 0)
    path = tmp_path / "r.h5"
    one = made["reference-images"]
    store.write(path, one.arrays, RECORD, **one.facts)
    assert (expected_by_image(path, 60, SEEN) == np.zeros(30)).all()
