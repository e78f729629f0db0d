"""The step rules against torch's own optimisers."""

import math

import pytest
import torch
from featpoison.attacks.step_rules import StepRule
from hypothesis import given, settings
from hypothesis import strategies as st

STEPS = 7
TORCH = {"adam": torch.optim.Adam, "gradient-descent": torch.optim.SGD}
every_rule = pytest.mark.parametrize("name", ["adam", "gradient-descent"])


def gradient(rows):
    """Of a function with curvature, rows independent of each other, and of very different sizes."""
    return rows.pow(3) * torch.tensor([1e-3, 1.0, 1e4], dtype=rows.dtype) + rows.sin()


def by_torch(name, start, step_size, steps):
    """The iterates of torch's optimiser, with a cosine step size and without a scheduler."""
    leaf = start.clone().requires_grad_(True)
    optimizer = TORCH[name]([leaf], lr=step_size)
    found = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = step_size * 0.5 * (1 + math.cos(math.pi * step / steps))
        leaf.grad = gradient(leaf.detach())
        optimizer.step()
        found.append(leaf.detach().clone())
    return found


def by_rule(name, start, step_size, steps, blocks):
    rule, rows, found = StepRule(name, step_size, steps, start), start, []
    for step in range(steps):
        moved = rows.clone()
        for block in blocks:
            moved[block] = rule.update(rows[block], gradient(rows[block]), step, block)
        rows = moved
        found.append(rows)
    return found


@every_rule
@given(seed=st.integers(0, 10**6), cut=st.integers(0, 8), step_size=st.floats(1e-4, 0.1))
@settings(deadline=None, max_examples=25)
def test_steps_are_those_of_torch_in_blocks_or_at_once(name, seed, cut, step_size):
    """Every iterate of several steps, in float64; the rows of a block are updated by themselves."""
    start = 1e-2 * torch.randn(8, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    blocks = [block for block in (slice(0, cut), slice(cut, 8)) if block.start < block.stop]
    oracle = by_torch(name, start, step_size, STEPS)
    for ours in (
        by_rule(name, start, step_size, STEPS, blocks),
        by_rule(name, start, step_size, STEPS, [slice(None)]),
    ):
        for mine, its in zip(ours, oracle, strict=True):
            torch.testing.assert_close(mine, its, rtol=1e-9, atol=1e-12)


@every_rule
def test_the_last_state_is_enough_to_go_on(name):
    start = 1e-2 * torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    whole = by_rule(name, start, 0.05, STEPS, [slice(None)])
    rule = StepRule(name, 0.05, STEPS, start)
    rows = start
    for step in range(3):
        rows = rule.update(rows, gradient(rows), step)
    other = StepRule(name, 0.05, STEPS, start)
    other.load({key: value.clone() for key, value in rule.state().items()})
    for step in range(3, STEPS):
        rows = other.update(rows, gradient(rows), step)
    assert torch.equal(rows, whole[-1])


def test_plain_descent_keeps_no_moments():
    rule = StepRule("gradient-descent", 0.1, 5, torch.zeros(1000, 3))
    assert [value.numel() for value in rule.state().values()] == [0, 0]


def test_the_second_momentum_is_adams():
    start = 1e-2 * torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    leaf = start.clone().requires_grad_(True)
    oracle = torch.optim.Adam([leaf], betas=(0.9, 0.5))
    rule, rows = StepRule("adam", 0.05, STEPS, start, second_momentum=0.5), start
    for step in range(STEPS):
        oracle.param_groups[0]["lr"] = 0.05 * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        leaf.grad = gradient(leaf.detach())
        oracle.step()
        rows = rule.update(rows, gradient(rows), step)
    torch.testing.assert_close(rows, leaf.detach(), rtol=1e-9, atol=1e-12)
