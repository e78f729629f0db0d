"""The layout of all image data sets, and random subsets."""

import numpy as np
import pytest
from featpoison.datasets.images import Images, balanced_subset


def test_subset_is_balanced_and_says_when_it_cannot_be():
    labels = np.repeat(np.arange(3), 5)
    rows = balanced_subset(labels, 4, seed=1)
    assert np.bincount(labels[rows]).tolist() == [4, 4, 4]
    assert (np.diff(rows) > 0).all()
    assert not np.array_equal(rows, balanced_subset(labels, 4, seed=2))
    with pytest.raises(ValueError, match="class 0 has 5 images, 6 were asked for"):
        balanced_subset(labels, 6, seed=1)


def test_images_that_do_not_fit_are_refused():
    good, labels = np.zeros((2, 3, 4, 4), np.uint8), np.array([0, 1])
    with pytest.raises(ValueError, match="test labels run from 0 to 5"):
        Images(good, labels, good, np.array([0, 5]), ("a", "b"))
    with pytest.raises(ValueError, match="train images are float64"):
        Images(good.astype(float), labels, good, labels, ("a", "b"))
