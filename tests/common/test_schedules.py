import pytest
import torch
from featpoison.common.schedules import half_cosine


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_half_a_cosine_is_torchs_cosine_annealing(steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    rates = []
    for _ in range(steps + 1):
        rates += schedule.get_last_lr()
        optimizer.step()
        schedule.step()
    assert [half_cosine(step, steps) for step in range(steps + 1)] == pytest.approx(rates, abs=1e-12)


def test_fractions_of_steps_lie_on_the_same_curve():
    assert half_cosine(0.5, 1) == half_cosine(5, 10) == half_cosine(1.5, 3) == pytest.approx(0.5)
    assert half_cosine(0, 1) == 1
    with pytest.raises(ZeroDivisionError):
        half_cosine(0, 0)
