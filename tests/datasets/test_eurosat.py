"""EuroSAT in the layout of the official archive, against torchvision's reader."""

import hashlib
import zipfile

import numpy as np
import pytest
from archives import jpeg
from featpoison.datasets.downloads import MIRROR_VARIABLE
from featpoison.datasets.sources import Dataset, load
from torchvision.datasets import EuroSAT

COUNTS = {"SeaLake": 12, "AnnualCrop": 10, "Forest": 5}


def members():
    """Images by name; numbers are not padded, so that names sort otherwise than numbers."""
    files = {"2750/": b""}
    for place, (name, count) in enumerate(COUNTS.items()):
        files[f"2750/{name}/"] = b""
        for number in range(count, 0, -1):
            files[f"2750/{name}/{name}_{number}.jpg"] = jpeg((10 * number, 80 * place, 40))
    return files


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Read an archive of these members in a mirror."""
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))

    def read(files, **changes):
        path = tmp_path / "EuroSAT.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        source = {"url": f"http://127.0.0.1:9/{path.name}", "md5": hashlib.md5(path.read_bytes()).hexdigest()}
        return load(Dataset.model_validate({"format": "eurosat", "archive": source} | changes), tmp_path)

    return read


def test_images_are_torchvisions_and_every_fifth_of_a_class_is_a_test_image(loaded, tmp_path):
    images, facts = loaded(members())
    assert facts["verified"]
    with zipfile.ZipFile(tmp_path / "EuroSAT.zip") as archive:
        archive.extractall(tmp_path / "eurosat")
    oracle = EuroSAT(tmp_path)
    assert images.classes == tuple(oracle.classes) == ("AnnualCrop", "Forest", "SeaLake")
    pictures = {
        path: (np.asarray(oracle.loader(path)).transpose(2, 0, 1), label) for path, label in oracle.samples
    }

    def expected(test):
        return [
            pictures[str(tmp_path / f"eurosat/2750/{name}/{name}_{number}.jpg")]
            for name in images.classes
            for number in range(1, COUNTS[name] + 1)
            if (number % 5 == 0) == test
        ]

    for test, pixels, labels in (
        (False, images.train_images, images.train_labels),
        (True, images.test_images, images.test_labels),
    ):
        np.testing.assert_array_equal(pixels, np.stack([picture for picture, _ in expected(test)]))
        assert labels.tolist() == [label for _, label in expected(test)]
    assert images.train_images.shape == (22, 3, 64, 64)
    assert images.test_labels.tolist() == [0, 0, 1, 2, 2]


def test_a_side_averages_and_rows_are_chosen(loaded):
    whole, _ = loaded(members())
    small, _ = loaded(members(), side=32, train_images=4, seed=0)
    means = whole.test_images.reshape(5, 3, 32, 2, 32, 2).mean((3, 5))
    np.testing.assert_allclose(small.test_images, means, rtol=0, atol=1)  # rounded along each side
    assert small.train_images.shape == (4, 3, 32, 32)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"other/Forest/Forest_1.jpg": b""},
            "no class has five members 2750/CLASS/CLASS_NUMBER.jpg, expected",
        ),
        ({"2750/Forest/River_1.jpg": b""}, "no class has five members"),
        (members() | {"2750/Forest/Forest_3.jpg": b"GIF"}, "member 2750/Forest/Forest_3.jpg: no whole image"),
        (
            members() | {"2750/Forest/Forest_5.jpg": jpeg((1, 2, 3))[:-300]},
            "member 2750/Forest/Forest_5.jpg: no whole image",
        ),
    ],
    ids=["other layout", "other name", "no image", "cut"],
)
def test_archives_of_another_layout_are_named(files, message, loaded):
    with pytest.raises(ValueError, match=rf"EuroSAT\.zip: {message}"):
        loaded(files)


def test_what_is_no_zip_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    (tmp_path / "EuroSAT.zip").write_bytes(b"<html>")
    entry = {"format": "eurosat", "archive": {"url": "http://127.0.0.1:9/EuroSAT.zip"}}
    with pytest.raises(ValueError, match=r"EuroSAT\.zip: damaged, expected a whole zip archive"):
        load(Dataset.model_validate(entry), tmp_path)
