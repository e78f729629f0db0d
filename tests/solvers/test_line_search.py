"""The line search against autograd's slopes."""

import pytest
import torch
from featpoison.solvers import line_search
from featpoison.solvers.line_search import step_along
from featpoison.solvers.newton import Converged, train_converged
from featpoison.solvers.objective import Objective, objective
from problems import poisoned_sets


@pytest.fixture
def sets():
    return poisoned_sets()


def gradient_of(sets, omega):
    leaf = omega.clone().requires_grad_(True)
    return torch.autograd.grad(objective(sets, leaf, 1e-3).sum(), leaf)[0]


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_it_ends_where_the_objective_is_flat(sets, scale):
    generator = torch.Generator().manual_seed(0)
    omega = torch.randn(3, 4, 7, generator=generator, dtype=torch.float64)
    gradient = gradient_of(sets, omega)
    direction = -scale * gradient
    direction[1] = 0
    ours = Objective(sets, 1e-3)
    found = step_along(ours, ours.at(omega), direction)
    slopes = [(one * direction).sum((1, 2)) for one in (gradient, gradient_of(sets, found.omega))]
    assert torch.equal(found.omega[1], omega[1])
    assert (slopes[1].abs() <= 0.1 * slopes[0].abs() + 1e-12).all()
    assert (objective(sets, found.omega, 1e-3) <= objective(sets, omega, 1e-3)).all()
    # What it hands on is what the objective is there.
    fresh = ours.at(found.omega)
    for name in ("value", "gradient"):
        torch.testing.assert_close(getattr(found, name), getattr(fresh, name), rtol=1e-9, atol=1e-11)


def test_it_goes_nowhere_uphill(sets):
    omega = torch.zeros(3, 4, 7, dtype=torch.float64)
    ours = Objective(sets, 1e-3)
    found = step_along(ours, ours.at(omega), gradient_of(sets, omega))
    torch.testing.assert_close(found.omega, omega, rtol=0, atol=1e-15)


def test_a_full_step_that_will_do_is_taken_without_a_search(sets, monkeypatch):
    """A Newton step near the minimiser."""
    minimiser, _ = train_converged(sets, Converged(ridge=1.0), classes=4)
    ours = Objective(sets, 1.0)
    at = ours.at(minimiser + 1e-3)
    H = torch.stack(
        [ours.hessian(at)(unit.expand(3, -1, -1)) for unit in torch.eye(28).double().view(28, 1, 4, 7)]
    )
    H = H.permute(1, 2, 3, 0).reshape(3, 28, 28)
    direction = -torch.linalg.solve(H, at.gradient.flatten(1)).view_as(at.gradient)
    monkeypatch.setattr(line_search, "_search", None)
    found = step_along(ours, at, direction)
    assert torch.equal(found.omega, at.omega + direction)
