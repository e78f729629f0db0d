"""The converged victim's objective against autograd, with one block of rows and with many."""

import pytest
import torch
from featpoison import softmax
from featpoison.softmax import Head
from featpoison.solvers import objective as module
from featpoison.solvers.objective import Objective, objective
from featpoison.solvers.training_sets import TrainingSets
from hypothesis import given
from hypothesis import strategies as st
from problems import blobs, poisoned_sets

RIDGE = 1e-3


def heads(K, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(K, 4, 7, generator=generator, dtype=torch.float64)


def dense_hessian(sets, k, omega):
    rows = torch.cat([sets.clean, sets.poisons[k]])
    H = softmax.hessian(rows, Head.from_omega(omega[k])) / len(rows)
    return H + RIDGE * torch.eye(len(H), dtype=H.dtype)


@given(block=st.integers(4, 400), K=st.integers(1, 4), n=st.integers(0, 5))
def test_blocks_add_up_to_autograds_objective(block, K, n):
    sets, omega = poisoned_sets(K, max(n, 1)), heads(K).requires_grad_(True)
    if n == 0:
        sets = TrainingSets(sets.clean, sets.clean_labels, sets.poisons[:, :0], sets.poison_labels[:, :0])
    value = objective(sets, omega, RIDGE)
    (gradient,) = torch.autograd.grad(value.sum(), omega)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        found = Objective(sets, RIDGE).at(omega.detach())
    torch.testing.assert_close(found.value, value.detach())
    torch.testing.assert_close(found.gradient, gradient)
    assert torch.equal(found.certificate, found.gradient.abs().amax((1, 2)))


@pytest.mark.parametrize("block", [10_000, 37])
def test_products_are_those_of_the_dense_hessian(monkeypatch, block):
    monkeypatch.setattr(module, "BLOCK", block)
    sets, omega, vector = poisoned_sets(), heads(3), heads(3, seed=1)
    ours = Objective(sets, RIDGE)
    at = ours.at(omega)
    for product, tolerance in ((ours.hessian(at), 1e-10), (ours.rough_hessian(at), 1e-4)):
        found = product(vector)
        for k in range(3):
            expected = (dense_hessian(sets, k, omega) @ vector[k].flatten()).view(4, 7)
            torch.testing.assert_close(found[k], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("logits_of_block", [240, 8192])  # of which two problems would have larger blocks
def test_some_problems_are_what_they_are_among_all(monkeypatch, logits_of_block):
    monkeypatch.setattr(module, "BLOCK", 100)
    monkeypatch.setattr(module, "LOGITS_OF_BLOCK", logits_of_block)
    sets, omega = poisoned_sets(), heads(3)
    which = torch.tensor([2, 0])
    whole = Objective(sets, RIDGE)
    alone = whole.only(which).at(omega[which])
    kept = whole.at(omega).only(which)
    for name in ("omega", "value", "gradient"):
        torch.testing.assert_close(getattr(alone, name), getattr(kept, name))
    for name in ("logits", "P"):
        for one, other in zip(getattr(alone, name), getattr(kept, name), strict=True):
            torch.testing.assert_close(one, other)
    vector = heads(2, seed=1)
    products = (whole.only(which).hessian(point)(vector) for point in (alone, kept))
    torch.testing.assert_close(*products)


def test_along_a_line_it_has_autograds_derivatives():
    sets, omega, direction = poisoned_sets(), heads(3), heads(3, seed=1)
    ours = Objective(sets, RIDGE)
    which = torch.tensor([2, 0])
    t = torch.tensor([0.3, -1.2], dtype=torch.float64).view(2, 1, 1)
    found = ours.along(ours.at(omega), direction, ours.logits(direction))(t, which)
    leaf = t.clone().requires_grad_(True)
    sub = ours.only(which).sets
    value = objective(sub, omega[which] + leaf * direction[which], RIDGE)
    (slope,) = torch.autograd.grad(value.sum(), leaf, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), leaf)
    for ours_, theirs in zip(found, (value.view(2, 1, 1), slope, curvature), strict=True):
        torch.testing.assert_close(ours_, theirs.detach())


def test_moved_poisons_are_seen():
    X, labels = blobs()
    sets = TrainingSets(X, labels, X[None, :5].clone(), labels[None, :5])
    ours, omega = Objective(sets, RIDGE), heads(1)
    before = ours.at(omega).value.item()
    sets.poisons.mul_(3)
    assert ours.at(omega).value.item() == pytest.approx(objective(sets, omega, RIDGE).item())
    assert abs(ours.at(omega).value.item() - before) > 1e-3
