"""The loss, the step size and the training of SimCLR."""

import pytest
import torch
from featpoison.encoders.encoder import Architecture
from featpoison.pretraining.augment import Augmentation
from featpoison.pretraining.simclr import SimCLR, learning_rate, nt_xent, pretrain
from featpoison.records.checkpoints import Checkpoint, unpack
from helpers import Fragile, Killed


def test_nt_xent_equals_a_loop_and_its_symmetries(generator):
    n, tau = 5, 0.3
    first, second = (torch.randn(n, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    views = torch.cat([first, second])
    total = 0.0
    for i in range(2 * n):
        sims = [torch.cosine_similarity(views[i], views[k], dim=0) / tau for k in range(2 * n)]
        total += -sims[(i + n) % (2 * n)] + torch.logsumexp(
            torch.stack([s for k, s in enumerate(sims) if k != i]), 0
        )
    loss = nt_xent(first, second, tau)
    assert loss.item() == pytest.approx((total / (2 * n)).item(), rel=1e-5)
    assert nt_xent(second, first, tau).item() == pytest.approx(loss.item(), rel=1e-6)
    assert nt_xent(3 * first, second, tau).item() == pytest.approx(loss.item(), rel=1e-5)
    order = torch.randperm(n, generator=generator)
    assert nt_xent(first[order], second[order], tau).item() == pytest.approx(loss.item(), rel=1e-6)
    assert nt_xent(first[order], second, tau) > 0


def test_rate_warms_up_and_ends_at_zero():
    settings = SimCLR(epochs=10, batch_size=256, learning_rate=0.5, warmup_epochs=1)
    rates = [learning_rate(settings, step, steps=10) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == 1  # 0.5 at batch 128
    assert rates[100] == pytest.approx(0)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=90)
    for rate in rates[10:]:
        assert rate == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        schedule.step()


SMALL = SimCLR(
    architecture=Architecture(width=8, stem_stride=2),
    epochs=3,
    batch_size=20,
    learning_rate=1.0,
    temperature=0.2,
    warmup_epochs=1,
    augmentation=Augmentation(crop_scale=(0.5, 1.0)),  # three epochs are too few for the smallest crops
    precision="float32",
)


CPU = torch.device("cpu")


def test_training_lowers_the_loss_and_resumes_bit_for_bit(images, tmp_path):
    data = torch.from_numpy(images)
    whole, losses = pretrain(data, SMALL, device=CPU, checkpoint=Checkpoint(tmp_path / "whole", {"a": 1}))
    assert losses[-1] < losses[0]

    with pytest.raises(Killed):
        pretrain(
            data,
            SMALL,
            device=CPU,
            checkpoint=Fragile(tmp_path / "cut", {"a": 1}, lambda facts: len(facts["losses"]) == 2),
        )
    tensors, _ = Checkpoint(tmp_path / "cut", {"a": 1}).load()
    groups = unpack(tensors)
    assert groups.keys() == {"network", "momentum"}
    assert {f"0.{key}" for key in whole.state_dict()} <= groups["network"].keys()
    assert all(key.isdecimal() for key in groups["momentum"])
    resumed, again = pretrain(data, SMALL, device=CPU, checkpoint=Checkpoint(tmp_path / "cut", {"a": 1}))
    assert again == losses
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_too_few_images_for_a_batch_is_an_error(images, tmp_path):
    with pytest.raises(ValueError, match="60 images are fewer than one batch of 512"):
        pretrain(
            torch.from_numpy(images),
            SMALL.model_copy(update={"batch_size": 512}),
            device=CPU,
            checkpoint=Checkpoint(tmp_path / "x", {}),
        )
