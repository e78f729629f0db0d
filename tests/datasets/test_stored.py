import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.datasets.stored import (
    class_names,
    largest_pixel,
    pixel_range,
    training_images,
    training_pixels,
)
from helpers import RECORD


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(13, 201, (7, 3, 4, 5), np.uint8)


@pytest.fixture
def path(tmp_path, images):
    images[2, 1, 3, 4], images[5, 0, 0, 0] = 12, 230
    other = np.concatenate([np.zeros((1, 3, 4, 5), np.uint8), np.full((1, 3, 4, 5), 255, np.uint8)])
    arrays = {"train_images": images, "test_images": other, "train_labels": np.zeros(7, np.int64)}
    store.write(tmp_path / "images.h5", arrays, RECORD, classes=["cat", "dog", "red fox"])
    return tmp_path / "images.h5"


@pytest.mark.parametrize("rows", [[5, 0, 5, 3], [], [6]])
@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_pixels_of_rows_in_any_order(path, images, rows, kind):
    found = training_pixels(path, kind(rows, dtype=torch.int64 if kind is torch.tensor else np.int64))
    assert found.dtype == torch.float32
    assert found.shape == (len(rows), 3, 4, 5)
    np.testing.assert_array_equal(found, images[rows] / np.float32(255))
    arrays = training_images(path, np.array(rows, np.int64))
    assert arrays.dtype == np.float32
    np.testing.assert_array_equal(found, arrays)


def test_a_row_that_does_not_exist_is_named(path):
    with pytest.raises(store.StoreError, match=r"images\.h5: dataset 'train_images' has 7 rows"):
        training_pixels(path, torch.tensor([7]))


def test_the_range_is_that_of_training_images_alone(path):
    assert pixel_range(path) == (12 / 255, 230 / 255)
    assert largest_pixel(path) == 230 / 255


def test_class_names_are_in_order(path):
    assert class_names(path) == ("cat", "dog", "red fox")
    with pytest.raises(FileNotFoundError, match=r"absent\.h5"):
        class_names(path.with_name("absent.h5"))
