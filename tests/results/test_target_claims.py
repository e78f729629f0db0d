"""Statements about targets judged by intervals: the gap of two successes, and what counts as support."""

from dataclasses import replace

import numpy as np
import pytest
from featpoison import store
from featpoison.results.target_cells import cells_of
from featpoison.results.target_claims import (
    NOT_JUDGED,
    NOT_RUN,
    NOT_SUPPORTED,
    SUPPORTED,
    Statement,
    SuccessGap,
    UtilityKept,
    judge,
    shares,
    success_gap,
)
from helpers import RECORD
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from target_rows import target_row

WHOLE = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(WHOLE)
def test_the_gap_joins_the_exact_intervals_of_gains_and_losses(targets):
    first, second = np.array(targets, float).T
    gains, losses, n = (
        int(((first == 1) & (second == 0)).sum()),
        int(((first == 0) & (second == 1)).sum()),
        len(first),
    )
    gained, lost = (
        stats.binomtest(count, n).proportion_ci(0.975, method="exact") for count in (gains, losses)
    )
    found = success_gap(first, second)
    assert found.mean == pytest.approx(100 * (first.mean() - second.mean()))
    assert found.low == pytest.approx(100 * (gained.low - lost.high), abs=1e-6)
    assert found.high == pytest.approx(100 * (gained.high - lost.low), abs=1e-6)
    other = success_gap(second, first)
    assert (other.mean, other.low, other.high) == pytest.approx((-found.mean, -found.high, -found.low))


def test_the_interval_holds_the_true_gap_as_often_as_it_says():
    """Exactly, over all outcomes of 25 targets of which 30 % are gained and 10 % are lost."""
    n, p = 25, (0.3, 0.1)
    held = 0.0
    for gains in range(n + 1):
        for losses in range(n + 1 - gains):
            first, second = np.zeros(n), np.zeros(n)
            first[:gains], second[gains : gains + losses] = 1, 1
            found = success_gap(first, second)
            if found.low <= 100 * (p[0] - p[1]) <= found.high:
                held += stats.multinomial.pmf([gains, losses, n - gains - losses], n, [*p, 1 - sum(p)])
    assert held >= 0.95


K = 12
"""Targets of each file."""


@pytest.fixture
def measured(tmp_path):
    """Writes measures in which so many of the targets are given the wanted class, and returns their path."""

    def write(name, hits, *, first=0):
        labels = np.arange(100) % 4
        rows = np.arange(first, first + K)
        predictions = labels[None].copy()
        predictions[:, rows[:hits]] = (labels[rows[:hits]] + 1) % 4
        arrays = {"target": rows, "label": (labels[rows] + 1) % 4, "test_labels": labels}
        arrays |= {"cosine": np.zeros(K), "cross_pairs": np.zeros(K)}
        for victim in ("sgd100", "converged"):
            arrays |= {
                f"{victim}_predictions": predictions.astype(np.uint16),
                f"{victim}_probability": np.zeros((1, K)),
                f"{victim}_rank": np.ones((1, K), int),
            }
        store.write(tmp_path / name, arrays, RECORD)
        return str(tmp_path / name)

    return write


@pytest.fixture
def rows(measured):
    """An attack that works, one that was fine-tuned away, and one on other targets."""
    clean, elsewhere = measured("clean.h5", 0), measured("far.h5", 0, first=40)
    return (
        target_row(measures=(measured("a.h5", 11),), clean=(clean,)),
        target_row(measures=(measured("b.h5", 1),), clean=(clean,), defence="tuned"),
        target_row(measures=(measured("c.h5", 6, first=40),), clean=(elsewhere,)),
    )


def judged(rows, compare):
    cells = {(cell.source, cell.victim): cell for row in rows for cell in cells_of(row)}
    return judge(Statement(1, "so", compare), rows, cells)


def test_a_gap_to_the_clean_encoder_and_to_another_row(rows):
    strong, tuned, far = rows
    found = judged(rows, lambda _: [SuccessGap(strong, None), SuccessGap(strong, tuned)])
    first, second = found.findings["sgd100"]
    assert (first.value.mean, second.value.mean) == pytest.approx((100 * 11 / K, 100 * 10 / K))
    assert [one.outcome for one in (first, second)] == ["yes", "yes"]
    assert first.targets == second.targets == K
    assert found.verdict("sgd100") == SUPPORTED
    opposite = judged(rows, lambda _: [SuccessGap(tuned, strong), SuccessGap(tuned, None)])
    assert [one.outcome for one in opposite.findings["converged"]] == ["opposite", "no"]
    assert opposite.verdict("converged") == NOT_SUPPORTED
    without = judged(rows, lambda _: [SuccessGap(strong, far)])  # no common target
    assert without.findings == {"sgd100": [], "converged": []}
    assert without.verdict("sgd100") == NOT_RUN


def test_targets_are_matched_by_file_and_not_by_order(rows, measured):
    both = target_row(
        measures=(measured("d.h5", 2, first=40), measured("e.h5", 3)), clean=rows[2].clean + rows[0].clean
    )
    (finding,) = judged((*rows, both), lambda _: [SuccessGap(rows[0], both)]).findings["sgd100"]
    assert (finding.targets, finding.value.mean) == (K, pytest.approx(100 * (11 - 3) / K))


@pytest.mark.parametrize(
    ("low", "high", "outcome"), [(-1, 1.9, "yes"), (-1, 2.1, "no"), (2.1, 3, "opposite"), (-9, -3, "yes")]
)
def test_utility_is_kept_where_the_interval_ends_below(rows, low, high, outcome):
    row = rows[0]
    cells = {(" ".join(row.measures), cell.victim): cell for cell in cells_of(row)}
    cells = {key: replace(cell, drop_low=low, drop_high=high) for key, cell in cells.items()}
    (finding,) = judge(Statement(4, "so", lambda _: [UtilityKept(row, 2.0)]), rows, cells).findings["sgd100"]
    assert finding.outcome == outcome


def test_what_cannot_be_judged_is_not(rows):
    assert judge(Statement(2, "so", None), rows, {}).verdict("sgd100") == NOT_JUDGED


def test_a_target_counts_by_its_share_of_heads(tmp_path):
    predictions = np.array([[1, 1, 0], [1, 0, 0]], np.uint16)
    arrays = {"target": np.array([0, 1]), "label": np.array([1, 1]), "sgd100_predictions": predictions}
    store.write(tmp_path / "a.h5", arrays, RECORD)
    np.testing.assert_array_equal(shares(str(tmp_path / "a.h5"), "sgd100"), [1.0, 0.5])
