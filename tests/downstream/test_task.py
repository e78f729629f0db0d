import numpy as np
import torch
from featpoison import store
from featpoison.downstream.task import read_task
from helpers import RECORD


def test_a_stored_task_is_read_as_it_is(tmp_path):
    generator = np.random.default_rng(0)
    arrays = {
        "train": generator.normal(size=(8, 3)).astype(np.float32),
        "train_labels": np.arange(8) % 4,
        "test": generator.normal(size=(5, 3)).astype(np.float32),
        "test_labels": np.arange(5) % 2,
    }
    store.write(tmp_path / "features.h5", arrays, RECORD, classes=["a", "b", "c", "d"])
    task = read_task(tmp_path / "features.h5")
    assert task.classes == 4
    for name, array in arrays.items():
        found = getattr(task, name)
        assert isinstance(found, torch.Tensor)
        np.testing.assert_array_equal(found, array)
        assert found.numpy().dtype == array.dtype
