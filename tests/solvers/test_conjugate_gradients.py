"""Conjugate gradients against numpy's direct solver."""

import numpy as np
import pytest
import torch
from featpoison.solvers.conjugate_gradients import dot, solve

SHAPE = (3, 4)  # of a vector: classes, features with bias
SIZE = 12


@pytest.fixture
def systems():
    """Five positive definite matrices of condition numbers up to 1000, and right-hand sides."""
    generator = np.random.default_rng(0)
    matrices = []
    for exponent in (0.0, 1.0, 2.0, 3.0, 3.0):
        basis, _ = np.linalg.qr(generator.normal(size=(SIZE, SIZE)))
        matrices.append(basis @ np.diag(np.logspace(0, exponent, SIZE)) @ basis.T)
    return np.stack(matrices), generator.normal(size=(5, SIZE))


class Counted:
    """Products with the matrices, counted."""

    def __init__(self, matrices):
        self.matrices, self.count = torch.from_numpy(matrices), 0

    def __call__(self, x):
        self.count += 1
        return (self.matrices @ x.flatten(1).unsqueeze(-1)).view(x.shape)


def direct(matrices, b):
    return np.linalg.solve(matrices, b[..., None]).reshape(-1, *SHAPE)


def vectors(b):
    return torch.from_numpy(b).view(-1, *SHAPE)


def test_equals_a_direct_solver_and_tells_the_true_residual(systems):
    matrices, b = systems
    product = Counted(matrices)
    found = solve(product, vectors(b), tolerance=1e-10, iterations=200)
    np.testing.assert_allclose(found.x, direct(matrices, b), rtol=1e-6, atol=1e-8)
    assert found.products == product.count < 100
    residual = b - np.einsum("kij,kj->ki", matrices, found.x.numpy().reshape(5, -1))
    relative = np.linalg.norm(residual, axis=1) / np.linalg.norm(b, axis=1)
    assert found.relative_residual.shape == (5, 1, 1)
    assert (found.relative_residual <= 1e-10).all()
    assert (relative <= 2e-10).all()


def test_a_start_is_used(systems):
    matrices, b = systems
    solution = torch.from_numpy(direct(matrices, b))
    found = solve(Counted(matrices), vectors(b), tolerance=1e-8, iterations=200, start=solution)
    assert found.products == 1  # to see that it is the solution
    assert torch.equal(found.x, solution)
    other = solve(Counted(matrices), vectors(b), tolerance=1e-10, iterations=200, start=solution + 1)
    np.testing.assert_allclose(other.x, solution, rtol=1e-6, atol=1e-8)


def test_the_exact_inverse_as_preconditioner_takes_one_step(systems):
    matrices, b = systems
    inverse = Counted(np.linalg.inv(matrices))
    found = solve(Counted(matrices), vectors(b), tolerance=1e-8, iterations=50, precondition=inverse)
    assert found.products == 1
    np.testing.assert_allclose(found.x, direct(matrices, b), rtol=1e-6, atol=1e-8)


def test_a_solved_system_does_not_move_while_others_go_on(systems):
    matrices, b = systems
    tolerance = torch.tensor([1e-1, 1e-2, 1e-3, 1e-8, 1e-10], dtype=torch.float64).view(-1, 1, 1)
    found = solve(Counted(matrices), vectors(b), tolerance=tolerance, iterations=200)
    assert (found.relative_residual <= tolerance).all()
    for k in range(5):
        one = matrices[k : k + 1], b[k : k + 1]
        alone = solve(Counted(one[0]), vectors(one[1]), tolerance=tolerance[k].item(), iterations=200)
        torch.testing.assert_close(found.x[k], alone.x[0], rtol=1e-9, atol=1e-12)


def test_too_few_iterations_come_back_as_they_are(systems):
    matrices, b = systems
    found = solve(Counted(matrices), vectors(b), tolerance=1e-10, iterations=3)
    assert found.products == 3
    assert found.relative_residual.max() > 1e-3


def test_a_right_hand_side_of_zeros_has_the_solution_zero(systems):
    matrices, _ = systems
    found = solve(
        Counted(matrices), torch.zeros(5, *SHAPE, dtype=torch.float64), tolerance=1e-10, iterations=9
    )
    assert (found.products, found.x.abs().max()) == (0, 0)
    assert (found.relative_residual == 0).all()


def test_dot_is_the_inner_product_of_each_pair(systems):
    _, b = systems
    other = b[::-1].copy()
    np.testing.assert_allclose(
        dot(vectors(b), vectors(other)).flatten(), [x @ y for x, y in zip(b, other, strict=True)]
    )
