"""The loss of Barlow Twins against numpy's correlation coefficients, and its symmetries."""

import numpy as np
import pytest
import torch
from featpoison.common.settings import Settings
from featpoison.pretraining.barlow_twins import BarlowTwins, barlow_twins
from featpoison.pretraining.simclr import SimCLR, nt_xent, pair_loss
from featpoison.pretraining.training import Training

N, P = 9, 4
WEIGHTED = BarlowTwins(redundancy=0.3)


@pytest.fixture
def views(generator):
    """Projections of two views that are alike, but not the same, neither centred nor of unit variance."""
    image = 3 * torch.randn(N, P, generator=generator, dtype=torch.float64) + 2
    return image, image + torch.randn(N, P, generator=generator, dtype=torch.float64)


def value(first, second, settings=WEIGHTED):
    return barlow_twins(first, second, settings).item()


def test_the_loss_is_that_of_correlation_coefficients(views):
    correlations = np.corrcoef(*(one.numpy() for one in views), rowvar=False)[:P, P:]  # float64
    expected = 0.0
    for i in range(P):
        for j in range(P):
            expected += (1 - correlations[i, j]) ** 2 if i == j else 0.3 * correlations[i, j] ** 2
    assert value(*views) == pytest.approx(expected, rel=1e-5)


def test_symmetries(views):
    first, second = views
    loss = pytest.approx(value(first, second), rel=1e-5)
    assert value(second, first) == loss
    rows, columns = torch.arange(N).roll(1), torch.tensor([2, 0, 3, 1])
    assert value(first[rows], second[rows]) == loss
    assert value(first[:, columns], second[:, columns]) == loss
    scale = torch.tensor([0.5, 2.0, 3.0, 10.0])
    assert value(first * scale + 5, second) == loss  # the units of a dimension and its mean do not count
    assert value(first * torch.tensor([1, -1, 1, 1]), second * torch.tensor([1, -1, 1, 1])) == loss
    assert value(first[rows], second) > value(first, second)  # views of other images
    assert value(first[:, columns], second) > value(first, second)


def test_equal_views_without_redundancy_have_no_loss(generator):
    white = torch.linalg.qr(torch.randn(N, P + 1, generator=generator, dtype=torch.float64)).Q
    centred = torch.linalg.qr(torch.cat([torch.ones(N, 1, dtype=torch.float64), white[:, :P]], 1)).Q[:, 1:]
    assert value(centred, centred) == pytest.approx(0, abs=1e-9)
    repeated = centred[:, [0, 0, 1, 2]]
    assert value(repeated, repeated) == pytest.approx(0.3 * 2, rel=1e-5)  # one pair, counted both ways


def test_a_constant_dimension_gives_finite_gradients(views):
    first, second = (one.clone().float().requires_grad_() for one in views)
    flat = torch.tensor([1.0, 1.0, 1.0, 0.0])
    loss = barlow_twins(first * flat, second * flat, WEIGHTED)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(first.grad).all()
    assert first.grad[:, :3].abs().sum() > 0


def test_the_settings_choose_the_loss(views):
    assert pair_loss(*views, SimCLR(temperature=0.2)) == nt_xent(*views, 0.2)
    assert pair_loss(*views, SimCLR(barlow_twins=WEIGHTED)).item() == value(*views)


@pytest.mark.parametrize("kind", [SimCLR, Training])
def test_records_of_simclr_do_not_speak_of_another_loss(kind):
    own = set(kind.model_fields)
    assert set(kind().model_dump()) == own - {"barlow_twins"}
    assert "barlow" not in kind().model_dump_json()
    chosen: Settings = kind(barlow_twins=WEIGHTED)
    assert chosen.model_dump()["barlow_twins"] == {"redundancy": 0.3}
    assert kind.model_validate_json(chosen.model_dump_json()) == chosen
    assert "epochs" not in chosen.model_dump(exclude={"epochs"})
