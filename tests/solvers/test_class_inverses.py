"""The preconditioner against the dense Hessian."""

import numpy as np
import pytest
import torch
from featpoison import softmax
from featpoison.softmax import Head
from featpoison.solvers import class_inverses, conjugate_gradients
from featpoison.solvers.class_inverses import ClassInverses, Preconditioner, Rows, drawn, inverses_of
from featpoison.solvers.objective import Objective
from featpoison.solvers.training_sets import TrainingSets
from problems import blobs, long_poisons, nearly_collinear

RIDGE = 1e-6


def near_zero(classes, width):
    generator = torch.Generator().manual_seed(1)
    return 0.01 * torch.randn(classes, width, generator=generator, dtype=torch.float64)


def as_matrix(apply, classes, width):
    """The matrix of a linear map of vectors (1, C, d+1)."""
    units = torch.eye(classes * width, dtype=torch.float64).view(-1, 1, classes, width)
    return torch.stack([apply(unit).flatten() for unit in units], dim=1)


def of(sets, omega, ridge=RIDGE):
    return Preconditioner(inverses_of(Rows(sets.clean.float()), sets, 0, omega, ridge).unsqueeze(0), ridge)


def test_it_is_the_formula():
    """Written out densely: centred blocks, and one over the ridge where all classes move together."""
    X, labels = blobs()
    sets = TrainingSets(X, labels, 5 * X[None, :20], labels[None, :20].roll(1))
    omega, ridge = near_zero(4, 7), 1e-2
    rows = torch.cat([X, sets.poisons[0]])
    H = (softmax.hessian(rows, Head.from_omega(omega)) / len(rows)).numpy().reshape(4, 7, 4, 7)
    blocks = np.zeros((4, 7, 4, 7))
    for c in range(4):
        blocks[c, :, c] = np.linalg.inv(H[c, :, c] + ridge * np.eye(7))
    mean = np.kron(np.full((4, 4), 0.25), np.eye(7))
    centred = np.eye(28) - mean
    expected = centred @ blocks.reshape(28, 28) @ centred + mean / ridge
    found = as_matrix(of(sets, omega, ridge), 4, 7)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("times", [1, 30, 100, 300])
def test_it_is_as_good_beside_long_poisons(times):
    """Positive definite, and few iterations. All of it in float32 was no positive definite matrix at 300."""
    X, labels = nearly_collinear()
    sets = long_poisons(X, labels, times=times, n=20)
    omega = near_zero(4, 31)
    precondition = of(sets, omega)
    B = as_matrix(precondition, 4, 31)
    torch.testing.assert_close(B, B.T, rtol=1e-6, atol=1e-6 * B.abs().max().item())
    assert torch.linalg.eigvalsh((B + B.T) / 2).min() > 0
    ours = Objective(sets, RIDGE)
    at = ours.at(omega.unsqueeze(0))
    found = conjugate_gradients.solve(
        ours.hessian(at), -at.gradient, tolerance=1e-6, iterations=60, precondition=precondition
    )
    assert found.relative_residual <= 1e-6


def test_what_all_classes_share_is_divided_by_the_ridge():
    X, labels = blobs()
    shared = torch.ones(1, 4, 1, dtype=torch.float64) * near_zero(1, 7)
    sets = TrainingSets.of_clean(X, labels)
    torch.testing.assert_close(of(sets, near_zero(4, 7))(shared), shared / RIDGE)


def test_the_diagonal_grows_until_a_block_has_a_factor(monkeypatch):
    X, labels = nearly_collinear(n=10)  # fewer rows than columns
    monkeypatch.setattr(class_inverses, "ROUNDING", 1e-16)
    tried, factorise = [], torch.linalg.cholesky_ex
    monkeypatch.setattr(torch.linalg, "cholesky_ex", lambda H: tried.append(H) or factorise(H))
    found = inverses_of(Rows(X.float()), TrainingSets.of_clean(X, labels), 0, near_zero(4, 31), 1e-14)
    assert len(tried) > 1
    assert (torch.linalg.eigvalsh(found) > 0).all()


def test_the_diagonal_grows_where_a_head_is_sure_of_all_clean_rows():
    """Poisons that it is unsure of are long here, so that the ridge alone gives no factor."""
    omega = torch.zeros(4, 4, dtype=torch.float64)
    omega[0, 0] = 1e4
    poisons = torch.tensor([[[0.0, 1e12, 1e12]]], dtype=torch.float64)
    clean, labels = torch.eye(3, dtype=torch.float64)[:1].repeat(5, 1), torch.zeros(5, dtype=torch.int64)
    sets = TrainingSets(clean, labels, poisons, labels[None, :1])
    assert inverses_of(Rows(clean.float()), sets, 0, omega, 1e-9).isfinite().all()


def test_features_that_are_not_finite_have_no_preconditioner():
    X, labels = nearly_collinear()
    X[3, 0] = torch.inf
    with pytest.raises(FloatingPointError, match="expected finite features"):
        of(TrainingSets.of_clean(X, labels), near_zero(4, 31))
    with pytest.raises(FloatingPointError, match="expected finite features"):
        drawn(X, near_zero(4, 31), torch.rand(len(X)))


def test_of_rows_that_a_head_is_sure_of_some_are_drawn_all_the_same():
    X, omega = torch.ones(4000, 6), torch.zeros(4, 7)
    omega[0, 0] = 1e4
    rows = drawn(X, omega, torch.linspace(0, 1, 4000))
    assert len(rows.X) == pytest.approx(class_inverses.EQUAL_CHANCES * class_inverses.SAMPLED * 7, abs=1)
    assert rows.counts.isfinite().all()


def ratios(n, scale):
    """Eigenvalues of a sample's blocks against those of all n rows, at a head that is sure of most of them
    where `scale` is large."""
    X, labels = blobs(n)
    sets, omega = TrainingSets.of_clean(X, labels), scale * near_zero(4, 7)
    few = ClassInverses(sets, X.float(), RIDGE)
    few.renew(0, omega)
    exact = inverses_of(Rows(X.float()), sets, 0, omega, RIDGE)
    return torch.linalg.eigvals(torch.linalg.solve(exact, few.inverses[0])).real


@pytest.mark.parametrize("scale", [1, 500])
def test_a_sample_of_many_rows_gives_nearly_the_blocks_of_all(scale):
    found = ratios(4000, scale)
    assert 1 / 3 < found.min() <= found.max() < 3


def test_rows_with_equal_chances_miss_those_that_matter_to_a_head_that_is_sure(monkeypatch):
    monkeypatch.setattr(class_inverses, "EQUAL_CHANCES", 1)
    assert ratios(4000, 500).max() > 10


def test_sums_over_drawn_rows_expect_those_over_all():
    X, omega = blobs(1000)[0], 100 * near_zero(4, 7)
    head, generator = Head.from_omega(omega), torch.Generator().manual_seed(0)
    sums, sizes = [], []
    for _ in range(400):
        rows = drawn(X, omega, torch.rand(1000, generator=generator))
        sums.append(softmax.class_hessians(rows.X, head, rows.counts))
        sizes.append(len(rows.X))
    mean, error = torch.stack(sums).mean(0), torch.stack(sums).std(0) / 400**0.5
    assert ((mean - softmax.class_hessians(X, head)).abs() <= 4.5 * error).all()
    assert sum(sizes) / 400 == pytest.approx(class_inverses.SAMPLED * 7, rel=0.05)


def test_old_inverses_are_tried_for_as_long_as_new_ones_cost():
    def worth(N, d):
        X = torch.randn(N, d, generator=torch.Generator().manual_seed(0))
        sets = TrainingSets.of_clean(X.double(), torch.zeros(N, dtype=torch.int64))
        return ClassInverses(sets, X, RIDGE).worth

    assert worth(100, 7) == class_inverses.LEAST_WORTH
    assert worth(1000, 63) == round(0.75 * 1000 * 64 / 2000)  # all rows
    assert worth(4000, 127) == round(0.75 * 2048 * 128 / 8000)  # 16 a column
