"""The nearest training inputs against scikit-learn's, and bad counts."""

import numpy as np
import pytest
from featpoison.downstream.nearest import nearest
from sklearn.neighbors import NearestNeighbors


def test_they_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    train, chosen = generator.normal(1, 1, (200, 6)), generator.normal(1, 1, (7, 6))
    train *= generator.uniform(0.1, 10, (200, 1))  # lengths do not count
    oracle = NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute").fit(train)
    np.testing.assert_array_equal(nearest(train, chosen, 5), oracle.kneighbors(chosen)[1])
    assert nearest(train, chosen, 200).shape == (7, 200)


def test_of_equal_ones_the_first_row_comes_first():
    train = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    assert nearest(train, np.array([[3.0, 0.0]]), 4).tolist() == [[1, 2, 0, 3]]


def test_more_than_there_are_is_an_error():
    with pytest.raises(ValueError, match="'count' is 4, expected at most the 3 training rows"):
        nearest(np.ones((3, 2)), np.ones((1, 2)), 4)
