import numpy as np
import pytest
from featpoison import store
from featpoison.downstream.stored_heads import read_clean_head, read_target
from helpers import RECORD

GENERATOR = np.random.default_rng(0)


def test_target_head_and_clean_gradient(tmp_path):
    omega, gradient = GENERATOR.normal(size=(2, 3, 2, 5)).astype(np.float32)
    store.write(tmp_path / "target.h5", {"omega": omega, "clean_gradient": gradient, "other": omega}, RECORD)
    for draw in range(7):  # such as a poison seed: the three heads in turn
        head, found = read_target(tmp_path / "target.h5", draw)
        np.testing.assert_array_equal(head.weight, omega[draw % 3, :, :4])
        np.testing.assert_array_equal(head.bias, omega[draw % 3, :, 4])
        np.testing.assert_array_equal(found, gradient[draw % 3])
    np.testing.assert_array_equal(read_target(tmp_path / "target.h5")[1], gradient[0])


def test_clean_head_of_a_seed(tmp_path):
    omega = GENERATOR.normal(size=(1, 3, 2, 5)).astype(np.float32)
    store.write(tmp_path / "clean.h5", {"sgd100_omega": omega, "converged_omega": 2 * omega[:, 0]}, RECORD)
    for index in range(3):
        np.testing.assert_array_equal(read_clean_head(tmp_path / "clean.h5", index).omega, omega[0, index])
    np.testing.assert_array_equal(read_clean_head(tmp_path / "clean.h5").omega, omega[0, 0])
    with pytest.raises(IndexError):
        read_clean_head(tmp_path / "clean.h5", 3)


def test_a_file_of_another_stage_is_named(tmp_path):
    store.write(tmp_path / "features.h5", {"train": np.zeros((2, 2))}, RECORD)
    for read in (read_target, read_clean_head):
        with pytest.raises(store.StoreError, match=r"features\.h5: no dataset '.*omega'; it holds train"):
            read(tmp_path / "features.h5")
