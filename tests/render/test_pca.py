"""The plane of the figures."""

import numpy as np
import pytest
from featpoison.render import pca


def test_the_plane_is_that_of_the_largest_variance_with_one_orientation():
    generator = np.random.default_rng(1)
    features = generator.normal(size=(500, 4)) * [1, 5, 0.1, 3] + 7
    found = pca.fit(features)
    np.testing.assert_allclose(np.abs(found.axes[[1, 3], [0, 1]]), 1, atol=0.02)
    assert (found.axes[[1, 3], [0, 1]] > 0).all()
    np.testing.assert_allclose(found.project(features).mean(0), 0, atol=1e-12)
    shares = np.sort(np.linalg.eigvalsh(np.cov(features, rowvar=False)))
    assert found.share == pytest.approx(shares[-2:].sum() / shares.sum())
