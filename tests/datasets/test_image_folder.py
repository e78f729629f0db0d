import hashlib
import shutil

import numpy as np
import pytest
from archives import picture
from featpoison import store
from featpoison.datasets import image_folder
from featpoison.datasets.downloads import DigestError
from featpoison.datasets.sources import Dataset, load
from featpoison.store import Rows
from helpers import RECORD

GENERATOR = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path):
    """Two classes; sizes, kinds and modes differ."""
    root = tmp_path / "pictures"
    for index in range(5):
        picture(root / "train" / "dog" / f"{index}.png", GENERATOR.integers(0, 256, (16, 16, 3), np.uint8))
    picture(root / "train" / "cat" / "b.PNG", np.full((20, 30, 3), (9, 8, 7), np.uint8))
    picture(root / "train" / "cat" / "a.png", np.full((8, 8), 77, np.uint8))
    picture(root / "test" / "dog" / "z.bmp", np.full((8, 8, 3), 200, np.uint8))
    (root / "train" / "cat" / "notes.txt").write_text("no picture")
    return root


def entry(folder, **changes):
    return Dataset.model_validate(
        {"format": "image-folder", "archive": {"path": str(folder)}, "side": 8} | changes
    )


def test_classes_and_images_in_the_order_of_their_names(folder, tmp_path):
    images, facts = load(entry(folder), tmp_path)
    assert images.classes == ("cat", "dog")
    assert images.train_labels.tolist() == [0, 0, 1, 1, 1, 1, 1]
    assert images.test_labels.tolist() == [1]
    assert images.train_images.shape == (7, 3, 8, 8)
    first = images.train_images[0:2]
    assert (first[0] == 77).all()  # grey
    assert first[1].max((1, 2)).tolist() == first[1].min((1, 2)).tolist() == [9, 8, 7]
    assert not facts["verified"]
    lines = (
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
        for path in image_folder.files(folder)[1:]
    )
    whole = "".join(
        [hashlib.sha256((folder / "test/dog/z.bmp").read_bytes()).hexdigest() + "  test/dog/z.bmp\n", *lines]
    )
    assert facts["archive"] == hashlib.sha256(whole.encode()).hexdigest()


def test_images_are_read_as_they_are_stored(folder, tmp_path):
    images, _ = load(entry(folder), tmp_path)
    assert isinstance(images.train_images, Rows)
    store.write(tmp_path / "i.h5", images.arrays(), RECORD)
    store.verify(tmp_path / "i.h5")
    np.testing.assert_array_equal(store.read(tmp_path / "i.h5")["train_images"], images.train_images[0:7])


def test_a_changed_added_or_renamed_image_is_refused_with_both_digests(folder, tmp_path):
    good = load(entry(folder), tmp_path)[1]["archive"]
    pinned = entry(folder, archive={"path": str(folder), "sha256": good})
    assert load(pinned, tmp_path)[1]["verified"]
    (folder / "train/dog/0.png").rename(folder / "train/dog/00.png")
    with pytest.raises(DigestError, match=rf"sha256 over all images is (?!{good})\w{{64}}, expected {good}"):
        load(pinned, tmp_path)


def test_a_random_part_of_the_training_images(folder, tmp_path):
    rows = np.sort(np.random.default_rng(2).choice(7, 4, replace=False))
    images, _ = load(entry(folder, train_images=4, seed=2), tmp_path)
    np.testing.assert_array_equal(
        images.train_images[0:4], load(entry(folder), tmp_path)[0].train_images[0:7][rows]
    )
    assert images.train_labels.tolist() == np.array([0, 0, 1, 1, 1, 1, 1])[rows].tolist()


def test_what_is_wrong_is_said_with_the_path(folder, tmp_path):
    (folder / "train/dog/3.png").write_bytes((folder / "train/dog/3.png").read_bytes()[:60])
    images, _ = load(entry(folder), tmp_path)
    with pytest.raises(ValueError, match=r"dog/3\.png: no whole image"):
        store.write(tmp_path / "i.h5", images.arrays(), RECORD)
    assert not (tmp_path / "i.h5").exists()
    (folder / "test" / "cow").mkdir()
    with pytest.raises(
        ValueError, match=r"test/cow: no class of the training images, expected one of \['cat', 'dog'\]"
    ):
        load(entry(folder), tmp_path)
    (folder / "test" / "cow").rmdir()
    (folder / "test/dog/z.bmp").unlink()
    with pytest.raises(ValueError, match=r"test: holds no image, expected CLASS/NAME"):
        load(entry(folder), tmp_path)
    (folder / "test/dog").rmdir()
    (folder / "test").rmdir()
    with pytest.raises(ValueError, match="test: no such folder, expected train/CLASS"):
        load(entry(folder), tmp_path)


def test_the_graph_sees_every_image(folder):
    (folder / "train" / "deep" / "er").mkdir(parents=True)
    assert [path.split("/")[-1] for path in entry(folder).local_files] == [
        "z.bmp",
        "a.png",
        "b.PNG",
        *(f"{i}.png" for i in range(5)),
    ]
    assert len(image_folder.files(folder)) == 8


def test_parts_may_have_capitals_and_others_are_not_read(folder, tmp_path):
    """As in folders of pictures of faces with and without masks: Train, Test and Validation."""
    usual, facts = load(entry(folder), tmp_path)
    other = tmp_path / "capitals"
    shutil.copytree(folder / "train", other / "Train")
    shutil.copytree(folder / "test", other / "Test")
    shutil.copytree(folder / "train", other / "Validation")
    images, digests = load(entry(other), tmp_path)
    assert images.classes == usual.classes
    np.testing.assert_array_equal(images.train_images[0:7], usual.train_images[0:7])
    np.testing.assert_array_equal(images.test_labels, usual.test_labels)
    assert len(image_folder.files(other)) == 8
    assert digests["archive"] != facts["archive"]  # paths are part of it
    shutil.copytree(folder / "test", other / "train")  # the very name counts before another
    assert load(entry(other), tmp_path)[0].train_labels.tolist() == [0]


def test_a_folder_that_is_missing_has_no_images(tmp_path):
    assert image_folder.files(tmp_path / "absent") == []
    with pytest.raises(ValueError, match="train: no such folder, expected train/CLASS"):
        load(entry(tmp_path / "absent"), tmp_path)
