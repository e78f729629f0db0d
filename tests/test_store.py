import numpy as np
import pytest
from featpoison import store
from helpers import RECORD

ARRAYS = {"features": np.arange(12.0, dtype=np.float32).reshape(4, 3), "labels": np.arange(4), "scalar": np.float64(2.5)}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "stage" / "product.h5"
    store.write(path, ARRAYS, RECORD, classes=["cat", "dog"], tau=1.5)
    return path


def test_round_trip(path):
    for name, array in store.read(path).items():
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.dtype == np.asarray(ARRAYS[name]).dtype
    assert store.read_attributes(path) == {"classes": ["cat", "dog"], "tau": 1.5}
    assert store.read_provenance(path) == RECORD
    assert store.lengths(path.parent / path.name)["features"] == 4
    np.testing.assert_array_equal(store.read(path, "features", rows=np.array([1, 3]))["features"], ARRAYS["features"][[1, 3]])
    assert store.verify(path) is None


def test_equal_content_gives_equal_bytes(path, tmp_path):
    other = tmp_path / "other.h5"
    store.write(other, dict(reversed(ARRAYS.items())), RECORD, tau=1.5, classes=["cat", "dog"])
    assert other.read_bytes() == path.read_bytes()


def test_rows_of_a_large_array_are_chunked_and_empty_arrays_survive(tmp_path):
    path = tmp_path / "large.h5"
    arrays = {"features": np.ones((5000, 600), np.float32), "none": np.empty((0, 3, 4), np.float32)}
    store.write(path, arrays, RECORD)
    store.verify(path)
    assert store.read(path, "none")["none"].shape == (0, 3, 4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_is_refused_and_nothing_is_left(tmp_path, value):
    path = tmp_path / "bad.h5"
    with pytest.raises(store.StoreError, match=r"bad\.h5.*'features'"):
        store.write(path, {"features": np.array([1.0, value])}, RECORD)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(path):
    before = path.read_bytes()
    with pytest.raises(store.StoreError):
        store.write(path, {"features": np.array([np.nan])}, RECORD)
    assert path.read_bytes() == before


def test_flipped_data_is_found_and_named(path):
    content = bytearray(path.read_bytes())
    place = bytes(content).index(ARRAYS["features"].tobytes())
    content[place + 5] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(store.StoreError, match=r"product\.h5"):
        store.verify(path)


def test_edited_attribute_and_edited_dataset_are_found(path):
    import h5py

    with h5py.File(path, "a") as file:
        file.attrs["tau"] = "2.5"
    with pytest.raises(store.StoreError, match="attributes"):
        store.verify(path)
    with h5py.File(path, "a") as file:
        file["labels"][0] = 9
    with pytest.raises(store.StoreError, match="'labels'"):
        store.verify(path)


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all" * 100])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "damaged.h5"
    path.write_bytes(content)
    with pytest.raises(store.StoreError, match=r"damaged\.h5"):
        store.verify(path)


def test_missing_file_and_missing_dataset_are_named(path, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.h5"):
        store.read(tmp_path / "absent.h5")
    with pytest.raises(store.StoreError, match="no dataset 'zeta'; it holds features"):
        store.read(path, "zeta")
