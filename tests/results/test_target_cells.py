"""Cells of the table of attacks on pre-training, counted anew, and bad files."""

from dataclasses import replace

import numpy as np
import pytest
from featpoison import store
from featpoison.results.bootstrap import STREAM, contrast, of_images
from featpoison.results.csv_rows import from_csv, to_csv
from featpoison.results.target_cells import MeasureError, TargetCell, TargetRow, cells_of, majority
from helpers import RECORD
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

M, V = 60, 2
LABELS = np.arange(M) % 3


def measures(path, seed, targets, wanted, *, right=0.8, labels=LABELS):
    """A file of measures: heads that are right so often, and give targets the wanted class half the time."""
    generator = np.random.default_rng(seed)
    arrays = {"target": np.array(targets), "label": np.array(wanted), "test_labels": labels}
    k = len(targets)
    arrays |= {"cosine": generator.random(k), "cross_pairs": 10.0 * generator.random(k)}
    for name, heads in (("sgd100", V), ("converged", 1)):
        predictions = np.where(generator.random((heads, M)) < right, labels, (labels + 1) % 3)
        predictions[:, targets] = np.where(generator.random((heads, k)) < 0.5, wanted, labels[targets])
        arrays |= {
            f"{name}_predictions": predictions.astype(np.uint16),
            f"{name}_probability": generator.random((heads, k)),
            f"{name}_rank": generator.integers(1, 4, (heads, k)),
        }
    store.write(path, arrays, RECORD)
    return arrays


TARGETS = (([0, 4, 8], [1, 2, 0]), ([5, 9, 4], [0, 1, 0]))


@pytest.fixture
def row(tmp_path):
    for seed, (targets, wanted) in enumerate(TARGETS):
        measures(tmp_path / f"p{seed}.h5", seed, targets, wanted)
        measures(tmp_path / f"c{seed}.h5", 9, targets, wanted, right=0.9)
    return TargetRow(
        attack="PoisonedEncoder",
        defence="",
        task="letters",
        rate=0.01,
        references=5,
        epochs=8,
        smallest_crop=None,
        plain=True,
        vote=False,
        measures=tuple(str(tmp_path / f"p{seed}.h5") for seed in (0, 1)),
        clean=tuple(str(tmp_path / f"c{seed}.h5") for seed in (0, 1)),
    )


def read(paths):
    return [store.read(path) for path in map(__import__("pathlib").Path, paths)]


@pytest.mark.parametrize("victim", ["sgd100", "converged"])
def test_a_cell_is_counted_anew(row, victim):
    cell = next(cell for cell in cells_of(row) if cell.victim == victim)
    poisoned, clean = read(row.measures), read(row.clean)
    hits, others = [], sorted(set(range(M)) - {0, 4, 8, 5, 9})
    for one in poisoned:
        for k, (target, label) in enumerate(zip(one["target"], one["label"], strict=True)):
            given_class = one[f"{victim}_predictions"][:, target]
            hits.append((given_class == label).mean())
            assert k < 3
    assert cell.success == pytest.approx(100 * np.mean(hits))
    assert (cell.targets, cell.encoders) == (6, 2)
    right = np.stack([one[f"{victim}_predictions"][:, others] == LABELS[others] for one in poisoned])
    clean_right = clean[0][f"{victim}_predictions"][:, others] == LABELS[others]
    assert cell.accuracy == pytest.approx(100 * right.mean())
    assert cell.clean_accuracy == pytest.approx(100 * clean_right.mean())
    drop = contrast(of_images(clean_right[None], right, STREAM))
    assert (cell.drop, cell.drop_low, cell.drop_high) == pytest.approx((drop.mean, drop.low, drop.high))
    assert cell.drop == pytest.approx(cell.clean_accuracy - cell.accuracy)
    assert cell.accuracy_low < cell.accuracy < cell.accuracy_high
    assert cell.rank == pytest.approx(np.mean([one[f"{victim}_rank"].mean() for one in poisoned]))
    assert cell.clean_cosine == pytest.approx(np.mean([one["cosine"].mean() for one in clean]))
    assert cell.source == " ".join(row.measures)


def test_voting_encoders_are_one_victim(row, tmp_path):
    """Whose targets count once; by hand, two of three."""
    paths = []
    for seed in range(3):
        measures(tmp_path / f"b{seed}.h5", 20 + seed, *TARGETS[0])
        paths.append(str(tmp_path / f"b{seed}.h5"))
    voting = row.model_copy(update={"vote": True, "measures": tuple(paths), "clean": row.clean[:1]})
    cell = cells_of(voting)[0]
    members = np.stack([one["sgd100_predictions"] for one in read(paths)])
    targets, wanted = TARGETS[0]
    hits = []
    for head in range(V):
        for target, label in zip(targets, wanted, strict=True):
            votes = np.bincount(members[:, head, target], minlength=3)
            hits.append(votes.argmax() == label)
    assert cell.success == pytest.approx(100 * np.mean(hits))
    assert (cell.targets, cell.encoders) == (3, 3)


@given(arrays_of.arrays(np.uint16, (5, 4), elements=st.integers(0, 6)))
def test_the_majority_is_the_most_frequent_and_of_equal_ones_the_smallest(predictions):
    for column, winner in zip(predictions.T, majority(predictions), strict=True):
        counts = np.bincount(column)
        assert counts[winner] == counts.max()
        assert winner == np.flatnonzero(counts == counts.max())[0]
    assert (majority(predictions[::-1]) == majority(predictions)).all()


@pytest.mark.parametrize("name", ["target", "label", "test_labels"])
def test_measures_that_do_not_belong_together_are_named(row, tmp_path, name):
    targets, wanted = ([0, 4, 8], [1, 2, 0])
    other = {
        "target": (([0, 4, 7], wanted), {}),
        "label": ((targets, [2, 2, 0]), {}),
        "test_labels": ((targets, wanted), {"labels": (LABELS + 1) % 3}),
    }[name]
    measures(tmp_path / "c0.h5", 9, *other[0], **other[1])
    with pytest.raises(MeasureError, match=rf"p0\.h5: '{name}' is not that of .*c0\.h5"):
        cells_of(row)


def test_the_csv_is_read_back(row):
    cells = cells_of(row)
    again = from_csv(TargetCell, to_csv(TargetCell, cells))
    assert to_csv(TargetCell, again) == to_csv(TargetCell, cells)
    assert again[0].smallest_crop is None
    assert again[0].plain is True
    other = replace(cells[0], plain=False)
    assert from_csv(TargetCell, to_csv(TargetCell, [other]))[0].plain is False
    for one, other in zip(cells, again, strict=True):
        assert replace(one, success=0) != one or one.success == 0
        assert other.success == pytest.approx(one.success, rel=1e-5)
    with pytest.raises(ValueError, match="columns are"):
        from_csv(TargetCell, "attack,victim\na,b\n")
