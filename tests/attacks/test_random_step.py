"""The random step: the chosen target's head, length and shortening, and nothing of its direction."""

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.attacks import names
from featpoison.attacks.random_step import stage_of, stepped
from featpoison.downstream.trajectory import read_trajectory
from featpoison.softmax import Head
from hypothesis import given
from hypothesis import strategies as st
from test_runs import run_of


@given(st.floats(0.01, 30), st.floats(0.1, 1), st.integers(0, 100))
def test_the_step_has_its_length_and_the_result_its_scale(eps_w, scale, draw):
    omega = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    found = stepped(Head.from_omega(omega), eps_w, scale, draw).omega
    step = found / scale - omega
    assert step.norm().item() == pytest.approx(eps_w, rel=1e-3, abs=1e-4)
    assert torch.equal(found, stepped(Head.from_omega(omega), eps_w, scale, draw).omega)


def test_directions_are_spread_over_the_sphere():
    """The mean of unit vectors without a preferred direction has length 1 / sqrt(count) on average."""
    zero = Head.from_omega(torch.zeros(3, 5))
    steps = torch.stack([stepped(zero, 1.0, 1.0, draw).omega for draw in range(400)])
    torch.testing.assert_close(steps.flatten(1).norm(dim=1), torch.ones(400))
    assert steps.mean(0).norm() < 3 / 400**0.5
    assert (steps.square().mean(0) - 1 / 15).abs().max() < 0.03


def test_it_starts_where_the_chosen_target_did(files):
    made = names.load("random-step").run(run_of("random-step", None, files))
    chosen, heads = store.read_attributes(files["target"]), read_trajectory(files["trajectory"])
    start = next(
        omega
        for omega, size, epochs in zip(heads.omega, heads.step_size, heads.epochs, strict=True)
        if (size.item(), epochs.item()) == (pytest.approx(chosen["step_size"]), chosen["epochs"])
    )
    steps = made.arrays["omega"] / chosen["scale"] - start.numpy()
    np.testing.assert_allclose(np.linalg.norm(steps, axis=(1, 2)), chosen["eps_w"], rtol=1e-4)
    assert {name: made.facts[name] for name in ("step_size", "epochs", "eps_w", "scale")} == {
        name: chosen[name] for name in ("step_size", "epochs", "eps_w", "scale")
    }
    flat = steps.reshape(5, -1)
    cosines = np.corrcoef(flat)
    assert np.abs(cosines[~np.eye(5, dtype=bool)]).max() < 0.5


def test_a_stage_that_is_not_there_is_named(files):
    heads = read_trajectory(files["trajectory"])
    assert [stage_of(heads, size, epochs) for size in (0.01, 0.1) for epochs in (2, 20)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"step size 0.1 and 7 epochs, expected one"):
        stage_of(heads, 0.1, 7)
