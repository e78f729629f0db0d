import h5py
import numpy as np
import pytest
from featpoison import store
from helpers import RECORD
from hypothesis import given
from hypothesis import strategies as st

ARRAYS = {
    "features": np.arange(12.0, dtype=np.float32).reshape(4, 3),
    "labels": np.arange(4),
    "scalar": np.float64(2.5),
}


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
    np.testing.assert_array_equal(
        store.read(path, "features", rows=np.array([1, 3]))["features"], ARRAYS["features"][[1, 3]]
    )
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


class Squares(store.Rows):
    """Row i is filled with i^2; slices are remembered."""

    def __init__(self, count: int, dtype: type = np.int64):
        self.shape, self.dtype, self.asked = (count, 100, 100), np.dtype(dtype), []

    def __getitem__(self, rows):
        self.asked.append(rows)
        return np.broadcast_to(
            (np.arange(rows.start, rows.stop) ** 2)[:, None, None], (rows.stop - rows.start, 100, 100)
        ).astype(self.dtype)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """100 rows of 80 kB, 26 in a chunk."""
    path = tmp_path_factory.mktemp("store") / "large.h5"
    store.write(path, {"squares": Squares(100)}, RECORD)
    return path


def test_rows_made_on_the_way_are_written_chunk_by_chunk(large, tmp_path):
    squares = Squares(100)
    store.write(tmp_path / "a.h5", {"squares": squares}, RECORD)
    assert [rows.stop - rows.start for rows in squares.asked] == [26, 26, 26, 22]
    store.verify(tmp_path / "a.h5")
    store.write(tmp_path / "b.h5", {"squares": squares[slice(0, 100)]}, RECORD)
    for path in (tmp_path / "a.h5", tmp_path / "b.h5"):
        assert store.read(path)["squares"][:, 5, 5].tolist() == [i * i for i in range(100)]
    with h5py.File(tmp_path / "a.h5") as one, h5py.File(tmp_path / "b.h5") as other:  # sealed alike
        assert one.attrs["content"] == other.attrs["content"]
    assert (tmp_path / "a.h5").read_bytes() == large.read_bytes()


def test_rows_that_are_not_finite_are_refused(tmp_path):
    class Bad(Squares):
        def __getitem__(self, rows):
            return np.where(
                np.arange(rows.start, rows.stop)[:, None, None] == 70, np.nan, super().__getitem__(rows)
            )

    with pytest.raises(store.StoreError, match="'bad' holds NaN"):
        store.write(tmp_path / "bad.h5", {"bad": Bad(100, float)}, RECORD)
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.integers(0, 99), max_size=40))
def test_rows_in_any_order_are_those_of_numpy(large, rows):
    found = store.read(large, "squares", rows=np.array(rows, np.int64))["squares"]
    assert found.shape == (len(rows), 100, 100)
    assert found[:, 3, 4].tolist() == [row * row for row in rows]


def test_of_rows_only_their_chunks_are_read_and_once(large, monkeypatch):
    asked, get = [], h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, rows: asked.append(rows) or get(self, rows))
    store.read(large, "squares", rows=np.array([99, 0, 25, 99, 80, 24]))
    assert asked == [slice(0, 26), slice(80, 100)]


@pytest.mark.parametrize("rows", [[100], [-1, 5], [3, 10**12]])
def test_rows_that_do_not_exist_are_named(large, rows):
    with pytest.raises(
        store.StoreError, match=r"large\.h5: dataset 'squares' has 100 rows, expected none of"
    ):
        store.read(large, "squares", rows=np.array(rows))
    with pytest.raises(store.StoreError, match=r"rows float64 \(1,\), expected integers"):
        store.read(large, "squares", rows=np.array([0.5]))


def test_a_stream_gives_rows_and_its_readers_errors_stay_theirs(large):
    with store.rows(large, "squares") as squares:
        assert (len(squares), squares.shape, squares.dtype) == (100, (100, 100, 100), np.int64)
        assert squares[98:120][:, 0, 0].tolist() == [98**2, 99**2]
        assert squares.take(np.array([7, 7, 2]))[:, 0, 0].tolist() == [49, 49, 4]
        assert sum(len(block) for block in squares.blocks()) == 100
    with pytest.raises(RuntimeError, match="mine"), store.rows(large, "squares"):
        raise RuntimeError("mine")
    with (
        pytest.raises(store.StoreError, match="no dataset 'cubes'; it holds squares"),
        store.rows(large, "cubes"),
    ):
        pass
    with (
        pytest.raises(FileNotFoundError, match=r"absent\.h5"),
        store.rows(large.with_name("absent.h5"), "squares"),
    ):
        pass


def test_a_stream_finds_a_flipped_bit(large, tmp_path):
    content = bytearray(large.read_bytes())
    content[content.index((99**2).to_bytes(8, "little")) + 3] ^= 1
    path = tmp_path / "flipped.h5"
    path.write_bytes(bytes(content))
    with store.rows(path, "squares") as squares:
        assert squares[0:1].max() == 0
        with pytest.raises(store.StoreError, match=r"flipped\.h5: damaged"):
            squares[90:91]
        with pytest.raises(store.StoreError, match=r"flipped\.h5: damaged"):
            squares.take(np.array([99]))


def test_extent(large, path):
    assert store.extent(large, "squares") == (0, 99**2)
    assert store.extent(path, "features") == (0.0, 11.0)
