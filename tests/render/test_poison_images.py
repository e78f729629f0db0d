"""Which poisons figures show."""

import numpy as np
from featpoison import store
from featpoison.render.poison_images import first_distinct, read_shown, sizes
from helpers import RECORD


def test_first_distinct():
    np.testing.assert_array_equal(first_distinct(np.array([5, 5, 2, 5, 9, 2, 1]), 3), [0, 2, 4])


def test_poisons_come_with_beta_budget_and_base_rows(tmp_path):
    images = np.arange(4 * 3 * 2 * 2, dtype=np.float32).reshape(4, 3, 2, 2) - 20
    for beta in (0.25, 0.1):
        record = RECORD | {"settings": {"beta": beta}}
        store.write(
            tmp_path / f"{beta}.h5", {"images": images * beta, "base": np.arange(4)}, record, eps_d=0.03
        )
    first, second = read_shown([tmp_path / "0.25.h5", tmp_path / "0.1.h5"], 3)
    assert (first.beta, second.beta, first.eps_d) == (0.25, 0.1, 0.03)
    np.testing.assert_array_equal(first.images, 0.25 * images[:3])
    np.testing.assert_array_equal(first.base, [0, 1, 2])
    np.testing.assert_allclose(sizes(first), [0.25 * 20, 0.25 * 8, 0.25 * 15])
    assert len(read_shown([tmp_path / "0.1.h5"])[0].images) == 4
