"""The embedded handwritten digits, against scikit-learn's reader, and files of another layout."""

import gzip

import numpy as np
import pytest
from featpoison.datasets.sizes import OFFICIAL_SIZES
from featpoison.datasets.sources import Dataset, load
from helpers import ROOT
from sklearn.datasets import load_digits

EMBEDDED = ROOT / "data/embedded/optical-digits.csv.gz"


def read(path, folder, **changes):
    return load(
        Dataset.model_validate({"format": "optical-digits", "archive": {"path": str(path)}} | changes), folder
    )


def test_images_are_scikit_learns_in_their_order(tmp_path):
    images, _ = read(EMBEDDED, tmp_path)
    oracle = load_digits()
    pixels = np.concatenate([images.train_images, images.test_images])
    assert (pixels == pixels[:, :1]).all()
    np.testing.assert_array_equal(pixels[:, 0], np.rint(oracle.images * 255 / 16))
    np.testing.assert_array_equal(np.concatenate([images.train_labels, images.test_labels]), oracle.target)
    assert (len(images.train_images), len(images.test_images), 8, 10) == OFFICIAL_SIZES["optical-digits"]


def test_a_larger_side_repeats_pixels(tmp_path):
    small, large = read(EMBEDDED, tmp_path)[0], read(EMBEDDED, tmp_path, side=32)[0]
    np.testing.assert_array_equal(large.test_images, small.test_images.repeat(4, axis=2).repeat(4, axis=3))


ZEROS = [",".join(["0"] * 65)] * 1797


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "damaged, expected a whole gzip file"),
        (gzip.compress(b"a,b\n"), "expected lines of integers and commas"),
        (gzip.compress(b"\xff\n"), "expected lines of integers and commas"),
        (
            gzip.compress("\n".join(ZEROS[1:]).encode()),
            r"\(1796, 65\) lines and columns, expected \(1797, 65\)",
        ),
        (
            gzip.compress("\n".join([*ZEROS[1:], ZEROS[0].replace("0", "17", 1)]).encode()),
            "brightnesses run from 0 to 17, expected 0 to 16",
        ),
        (gzip.compress("\n".join([*ZEROS[1:], ZEROS[0][:-1] + "-1"]).encode()), "digits run from -1 to 0"),
    ],
    ids=["no gzip", "no numbers", "no text", "short", "too bright", "no digit"],
)
def test_other_files_are_named(content, message, tmp_path):
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"digits\.csv\.gz: {message}"):
        read(path, tmp_path)
