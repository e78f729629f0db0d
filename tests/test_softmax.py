import doctest
import math

import pytest
import torch
import torch.nn.functional as F
from featpoison import softmax
from featpoison.common import row_blocks
from featpoison.softmax import Head
from helpers import random_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import slow
from scipy.special import lambertw

SIZES = [(1, 1, 2), (7, 5, 3), (40, 16, 10), (5, 3, 100)]
sizes = pytest.mark.parametrize(("n", "d", "classes"), SIZES)


def test_doctests():
    assert doctest.testmod(softmax).failed == 0
    assert doctest.testmod(softmax).attempted > 0


@sizes
def test_head_gradient_equals_autograd(n, d, classes):
    X, labels, head = random_problem(n, d, classes)
    torch.testing.assert_close(softmax.head_gradient(X, labels, head), slow.head_gradient(X, labels, head))
    torch.testing.assert_close(softmax.loss(X, labels, head), slow.summed_loss(X, labels, head.omega))


@sizes
def test_canceling_step_equals_double_backward(n, d, classes):
    X, labels, head = random_problem(n, d, classes)
    clean = torch.randn(classes, d + 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for ours, oracle in zip(
        softmax.canceling_step(X, labels, head, clean),
        slow.canceling_step(X, labels, head, clean),
        strict=True,
    ):
        torch.testing.assert_close(ours, oracle)


def test_canceling_step_in_blocks_of_rows_equals_double_backward(monkeypatch):
    """Stored in float32 and computed in float64 as well."""
    monkeypatch.setattr(row_blocks, "ROWS", 4)
    X, labels, head = random_problem(11, 5, 3, dtype=torch.float32)
    clean = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    double = head.to(torch.float64)
    loss, gradient = softmax.canceling_step(X, labels, double, clean)
    exact_loss, exact_gradient = slow.canceling_step(X.double(), labels, double, clean)
    torch.testing.assert_close(loss, exact_loss)
    torch.testing.assert_close(gradient, exact_gradient.float())


def test_canceling_gradient_equals_finite_differences():
    X, labels, head = random_problem(6, 4, 3)
    clean = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    _, gradient = softmax.canceling_step(X, labels, head, clean)
    step = 1e-5
    for row in range(6):
        for column in range(4):
            shift = torch.zeros_like(X)
            shift[row, column] = step
            up, down = (softmax.canceling_step(X + sign * shift, labels, head, clean)[0] for sign in (1, -1))
            assert gradient[row, column].item() == pytest.approx(
                ((up - down) / (2 * step)).item(), rel=1e-6, abs=1e-8
            )


@sizes
def test_hessian_and_its_product_equal_autograd(n, d, classes):
    if classes > 20:
        n, d, classes = 4, 2, 20
    X, labels, head = random_problem(n, d, classes)
    oracle = slow.hessian(X, labels, head)
    torch.testing.assert_close(softmax.hessian(X, head), oracle)
    vector = torch.randn(classes, d + 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        softmax.hessian_vector_product(X, head, vector).flatten(), oracle @ vector.flatten()
    )


def test_class_hessians_are_the_hessians_blocks():
    X, _, head = random_problem(30, 5, 4)
    H = softmax.hessian(X, head).view(4, 6, 4, 6)
    found = softmax.class_hessians(X, head)
    for c in range(4):
        torch.testing.assert_close(found[c], H[c, :, c])
    counted = softmax.class_hessians(X, head, torch.arange(30, dtype=X.dtype))
    repeated = softmax.class_hessians(X.repeat_interleave(torch.arange(30), 0), head)
    torch.testing.assert_close(counted, repeated)
    other = Head(2 * head.weight, head.bias)
    stacked = Head(
        *(torch.stack([getattr(one, name) for one in (head, other)]) for name in ("weight", "bias"))
    )
    together = softmax.class_hessians(X, stacked)
    torch.testing.assert_close(together, torch.stack([found, softmax.class_hessians(X, other)]))


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_loss_and_probabilities_come_from_the_same_logits(scale):
    """Also of logits whose exponentials no float can hold."""
    X, labels, head = random_problem(30, 5, 4)
    S = scale * softmax.logits(X, head)
    value, P = softmax.loss_and_probabilities(S, labels)
    torch.testing.assert_close(value, F.cross_entropy(S, labels, reduction="sum"))
    torch.testing.assert_close(P, S.softmax(-1))
    gradient = softmax.gradient_of_probabilities(X, labels, softmax.probabilities(X, head))
    torch.testing.assert_close(gradient, slow.head_gradient(X, labels, head))


def test_rows_in_several_tensors_give_the_gradient_of_all():
    """Five rows that two heads share, then three of each."""
    X, labels, _ = random_problem(11, 4, 3)
    heads = [random_problem(11, 4, 3, seed)[2] for seed in range(2)]
    stacked = Head(*(torch.stack([getattr(one, name) for one in heads]) for name in ("weight", "bias")))
    own = torch.stack([X[5:8], X[8:]])
    given = torch.stack([labels[:8], torch.cat([labels[:5], labels[8:]])])
    found = softmax.head_gradient_of_parts([X[:5], own], given, stacked)
    for k, head in enumerate(heads):
        rows = torch.cat([X[:5], own[k]])
        torch.testing.assert_close(found[k], slow.head_gradient(rows, given[k], head))


def test_the_loss_along_a_line_of_logits_has_autograds_derivatives():
    X, labels, head = random_problem(8, 5, 4)
    S = softmax.logits(X, head)
    D = torch.randn(S.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    value = F.cross_entropy(S + t * D, labels, reduction="sum")
    (slope,) = torch.autograd.grad(value, t, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, t)
    found = softmax.loss_along(S, labels, D)
    torch.testing.assert_close(torch.stack(found), torch.stack([value, slope, curvature]))
    together = softmax.loss_along(torch.stack([S, 2 * S]), labels, torch.stack([D, D]))
    assert all(torch.equal(one[0], other) for one, other in zip(together, found, strict=True))


def test_feature_gradient_is_the_derivative_of_the_inner_product():
    X, labels, head = random_problem(8, 5, 4)
    R = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    leaf = X.clone().requires_grad_(True)
    (slow.head_gradient(leaf, labels, head, create_graph=True) * R).sum().backward()
    torch.testing.assert_close(softmax.feature_gradient(X, labels, head, R), leaf.grad)


def test_float32_agrees_with_float64():
    X, labels, head = random_problem(200, 64, 10)
    clean = softmax.head_gradient(X, labels, head)
    exact = softmax.canceling_step(X, labels, head, clean)
    rough = softmax.canceling_step(X.float(), labels, head.to(torch.float32), clean.float())
    for e, r in zip(exact, rough, strict=True):
        assert r.dtype == torch.float32
        torch.testing.assert_close(r.double(), e, rtol=1e-4, atol=1e-4 * e.abs().max().item())


@pytest.mark.skipif(not torch.accelerator.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gpu_agrees_with_cpu(dtype):
    device = torch.accelerator.current_accelerator()
    X, labels, head = random_problem(200, 64, 10, dtype=dtype)
    clean = softmax.head_gradient(X, labels, head)
    there = softmax.canceling_step(X.to(device), labels.to(device), head.to(device), clean.to(device))
    for gpu, cpu in zip(there, softmax.canceling_step(X, labels, head, clean), strict=True):
        torch.testing.assert_close(gpu.cpu(), cpu, rtol=1e-4, atol=1e-4 * cpu.abs().max().item())
    product = softmax.hessian_vector_product(X.to(device), head.to(device), clean.to(device)).cpu()
    torch.testing.assert_close(
        product,
        softmax.hessian_vector_product(X, head, clean),
        rtol=1e-4,
        atol=1e-4 * product.abs().max().item(),
    )


def test_batches_equal_single_problems():
    X, labels, _ = random_problem(9, 4, 3)
    heads = [random_problem(9, 4, 3, seed)[2] for seed in range(5)]
    stacked = Head(weight=torch.stack([h.weight for h in heads]), bias=torch.stack([h.bias for h in heads]))
    together = softmax.head_gradient(X, labels, stacked)
    products = softmax.hessian_vector_product(X, stacked, together)
    for i, head in enumerate(heads):
        torch.testing.assert_close(together[i], softmax.head_gradient(X, labels, head))
        torch.testing.assert_close(products[i], softmax.hessian_vector_product(X, head, together[i]))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(1, 8), st.integers(2, 12), st.integers(0, 10**6))
def test_gradient_sums_to_zero_over_classes_and_hessian_is_positive(n, d, classes, seed):
    X, labels, head = random_problem(n, d, classes, seed)
    gradient = softmax.head_gradient(X, labels, head)
    assert gradient.sum(0).abs().max() < 1e-9 * max(1, gradient.abs().max().item())
    vector = random_problem(1, d, classes, seed + 1)[2].omega
    assert (vector * softmax.hessian_vector_product(X, head, vector)).sum() >= -1e-9


def test_logits_far_apart_stay_finite():
    X, labels, head = random_problem(10, 4, 3)
    loss, gradient = softmax.canceling_step(1e4 * X, labels, head, torch.zeros(3, 5, dtype=torch.float64))
    assert loss.isfinite()
    assert gradient.isfinite().all()


# Reachability


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_no_point_beats_the_bound_and_the_extremal_one_meets_it(classes):
    """Minimise <grad l, omega> over points and labels: the optimiser never goes below -W0((C-1)/e)."""
    w = lambertw((classes - 1) / math.e).real
    d = classes + 2
    head = random_problem(1, d, classes, seed=3)[2]
    X = torch.randn(64, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_(
        True
    )
    labels = torch.arange(64) % classes
    optimizer = torch.optim.LBFGS(
        [X], max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-12, tolerance_change=1e-16
    )

    def values():
        S = softmax.logits(X, head)
        return (S.softmax(1) * (S - S.gather(1, labels[:, None]))).sum(1)

    def closure():
        optimizer.zero_grad()
        total = values().sum()
        total.backward()
        return total

    start = values().detach()
    optimizer.step(closure)
    best = values().detach()
    assert best.sum() < start.sum() - 1
    assert (best >= -w - 1e-9).all()
    # the extremal point: every other class 1 + w below the label's logit
    wanted = torch.full((classes,), -1.0 - w, dtype=torch.float64)
    wanted[0] = 0
    extremal = torch.linalg.lstsq(head.weight, (wanted - head.bias)[:, None]).solution.T
    value = (softmax.head_gradient(extremal, torch.tensor([0]), head) * head.omega).sum().item()
    assert value == pytest.approx(-w, abs=1e-9)


def test_canceling_below_the_threshold_leaves_the_residual_that_the_bound_demands():
    """With half of tau N poisons the residual cannot vanish, however long it is optimised."""
    classes, d, N = 4, 6, 400
    X, labels, head = random_problem(N, d, classes, seed=5)
    head = Head.from_omega(head.omega * 0.7)
    G = softmax.head_gradient(X, labels, head)
    tau = softmax.reachability_threshold(G, head, N)
    assert tau > 0.1
    w = lambertw((classes - 1) / math.e).real
    n = int(0.5 * tau * N)
    Z = torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    own = torch.arange(n) % classes
    for _ in range(3000):
        loss, gradient = softmax.canceling_step(Z, own, head, G)
        Z = Z - 2e-4 * gradient
    assert loss < softmax.canceling_step(Z * 0, own, head, G)[0]
    # stationarity is missed by at least the part that the bound leaves along omega
    floor = ((G * head.omega).sum() - n * w) / head.omega.norm()
    assert floor > 0
    assert (2 * loss).sqrt() >= floor - 1e-9


def test_threshold_with_ridge_is_larger_and_equals_its_formula():
    X, labels, head = random_problem(50, 3, 3, seed=2)
    G = softmax.head_gradient(X, labels, head)
    w = lambertw(2 / math.e).real
    inner, square = (G * head.omega).sum().item() / 50, head.omega.square().sum().item()
    plain = softmax.reachability_threshold(G, head, 50)
    assert plain == pytest.approx(max(0.0, inner / w))
    ridge = 0.01 * w / square
    assert softmax.reachability_threshold(G, head, 50, ridge=ridge) == pytest.approx(
        (inner + 0.01 * w) / (0.99 * w)
    )
    assert softmax.reachability_threshold(G, head, 50, ridge=ridge) > plain
    assert softmax.reachability_threshold(G, head, 50, ridge=2 * w / square) == math.inf


def test_threshold_of_a_stationary_head_is_zero():
    head = random_problem(50, 3, 3)[2]
    assert softmax.reachability_threshold(torch.zeros(3, 4), head, 50) == 0.0
