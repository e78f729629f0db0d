import hashlib
import os
import shutil

import numpy as np
import pytest
from archives import picture
from featpoison import store
from featpoison.datasets import image_folder
from featpoison.datasets.downloads import DigestError
from featpoison.datasets.images import averaged
from featpoison.datasets.sources import Dataset, load
from featpoison.store import Rows
from helpers import RECORD
from PIL import Image
from torchvision.datasets import ImageFolder

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
    with pytest.raises(ValueError, match=r"test/dog: holds no image, expected"):
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
    for name in ("dog", "eel"):  # the very name counts before another
        shutil.copytree(folder / "test/dog", other / "train" / name)
    assert load(entry(other), tmp_path)[0].classes == ("dog", "eel")


def test_a_folder_that_is_missing_has_no_images(tmp_path):
    assert image_folder.files(tmp_path / "absent") == []
    with pytest.raises(ValueError, match="train: no such folder, expected train/CLASS"):
        load(entry(tmp_path / "absent"), tmp_path)


MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")


@pytest.mark.parametrize("mode", MODES)
def test_pictures_of_any_8_bit_mode_are_read_as_torchvision_reads_them(mode, tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    picture = Image.fromarray(colours).convert("L" if mode == "LA" else mode).convert(mode)
    ending = "tif" if mode in ("CMYK", "YCbCr") else "png"
    for part in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / part / name / "deeper/still").mkdir(parents=True)
            for place in (".", "deeper", "deeper/still"):
                picture.save(tmp_path / part / name / place / f"x.{ending}")
    images, _ = load(entry(tmp_path), tmp_path)
    expected = ImageFolder(str(tmp_path / "train"))
    assert [label for _, label in expected.samples] == images.train_labels.tolist()
    found = images.train_images[0 : len(expected)]
    for row, (picture, _) in enumerate(expected):
        np.testing.assert_array_equal(found[row], averaged(picture, found.shape[-1]))


def refused(folder, tmp_path, message):
    """Reading the folder and its images ends with this message, in one line, and writes nothing."""
    with pytest.raises(ValueError, match=message) as caught:
        store.write(tmp_path / "i.h5", load(entry(folder), tmp_path)[0].arrays(), RECORD)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "i.h5").exists()


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_pictures_of_more_than_8_bits_are_refused_by_name(dtype, folder, tmp_path):
    ending = "png" if dtype == np.uint16 else "tif"
    Image.fromarray(np.full((8, 8), 40000, dtype)).save(folder / f"train/dog/deep.{ending}")
    refused(
        folder, tmp_path, rf"train/dog/deep\.{ending}: no whole image: pixels of mode .*, expected 8 bits"
    )


def test_a_picture_of_too_many_pixels_is_refused_by_name(folder, tmp_path):
    Image.new("1", (9000, 9000)).save(folder / "train/dog/bomb.png")
    refused(folder, tmp_path, r"train/dog/bomb\.png: no whole image: 9000 x 9000 pixels, expected at most")
    Image.new("1", (20000, 20000)).save(folder / "train/dog/bomb.png")
    refused(folder, tmp_path, r"train/dog/bomb\.png: no whole image: ")


@pytest.mark.parametrize(
    "name", ["train/.ipynb_checkpoints", "train/dog/.ipynb_checkpoints", "test/dog/a/.b"]
)
def test_hidden_folders_are_refused_by_name(name, folder, tmp_path):
    (folder / name).mkdir(parents=True)
    shutil.copy(folder / "train/dog/3.png", folder / name / "3.png")
    refused(
        folder, tmp_path, "hidden folder" if name.count("/") > 1 else "ipynb_checkpoints: a hidden folder"
    )


def test_classes_without_images_and_single_classes_are_refused_by_name(folder, tmp_path):
    (folder / "train/empty").mkdir()
    refused(folder, tmp_path, "train/empty: holds no image, expected at least one")
    (folder / "train/empty").rmdir()
    shutil.rmtree(folder / "train/cat")
    refused(folder, tmp_path, rf"{folder}: classes \['dog'\], expected at least two")


def test_a_class_whose_name_is_no_text_is_refused(folder, tmp_path):
    odd = os.fsencode(folder / "train") + b"/caf\xe9"
    os.mkdir(odd)
    shutil.copy(folder / "train/dog/3.png", odd + b"/3.png")
    refused(folder, tmp_path, r"caf.*expected the name of a class in UTF-8")


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"BM" + bytes(60), b"P6\n9 9\n255\n"]
)
def test_files_that_are_no_pictures_are_refused_by_name(content, folder, tmp_path):
    (folder / "train/dog/odd.png").write_bytes(content)
    refused(folder, tmp_path, r"train/dog/odd\.png: no whole image")
