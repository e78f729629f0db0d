import pytest
import torch
import torchvision.transforms.v2.functional as TF
from featpoison.encoders.encoder import Architecture
from featpoison.pretraining import augment as A
from featpoison.pretraining.simclr import SimCLR, learning_rate, nt_xent, pretrain
from featpoison.records.checkpoints import Checkpoint


@pytest.fixture
def pictures(generator):
    return torch.rand(16, 3, 32, 32, generator=generator)


@pytest.mark.parametrize("name", ["adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue"])
def test_colours_equal_torchvision_image_by_image(name, pictures, generator):
    low, high = (-0.5, 0.5) if name == "adjust_hue" else (0, 2)
    factors = torch.empty(16).uniform_(low, high, generator=generator)
    pictures[0] = 0.5  # no hue
    oracle = torch.stack([getattr(TF, name)(image, factor.item()) for image, factor in zip(pictures, factors, strict=True)])
    torch.testing.assert_close(getattr(A, name)(pictures, factors), oracle, rtol=0, atol=5e-6)


@pytest.mark.parametrize("flip", [False, True])
def test_crop_equals_torchvision_inside(flip, pictures):
    top, left, height, width = 4, 8, 20, 16
    share = {name: torch.full((16,), value / 32) for name, value in (("top", top), ("left", left), ("height", height), ("width", width))}
    ours = A.crop_and_flip(pictures, **share, flip=torch.full((16,), flip))
    oracle = TF.resized_crop(pictures, top, left, height, width, [32, 32], antialias=False)
    if flip:
        oracle = TF.horizontal_flip(oracle)
    # at the crop's border ours sees the neighbouring pixels, torchvision repeats the last one
    torch.testing.assert_close(ours[..., 2:-2, 2:-2], oracle[..., 2:-2, 2:-2], rtol=0, atol=1e-5)


def test_every_image_draws_its_own_parameters(generator):
    same = torch.rand(1, 3, 32, 32, generator=generator).expand(64, -1, -1, -1)
    views = A.augment(same, A.Augmentation(), generator)
    assert views.shape == same.shape
    assert views.min() >= 0
    assert views.max() <= 1
    assert len({tuple(view.flatten()[:50].tolist()) for view in views}) == 64
    grey = (views.amax(1) - views.amin(1)).amax((1, 2)) < 1e-5
    assert 3 <= grey.sum() <= 28  # 64 draws at 0.2


def test_nt_xent_equals_a_loop_and_its_symmetries(generator):
    n, tau = 5, 0.3
    first, second = (torch.randn(n, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    views = torch.cat([first, second])
    total = 0.0
    for i in range(2 * n):
        sims = [torch.cosine_similarity(views[i], views[k], dim=0) / tau for k in range(2 * n)]
        total += -sims[(i + n) % (2 * n)] + torch.logsumexp(torch.stack([s for k, s in enumerate(sims) if k != i]), 0)
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
    assert rates[10:] == sorted(rates[10:], reverse=True)


SMALL = SimCLR(
    architecture=Architecture(width=8, stem_stride=2),
    epochs=3,
    batch_size=20,
    learning_rate=1.0,
    temperature=0.2,
    warmup_epochs=1,
    precision="float32",
)
CPU = torch.device("cpu")


def test_training_lowers_the_loss_and_resumes_bit_for_bit(images, tmp_path):
    data = torch.from_numpy(images)
    whole, losses = pretrain(data, SMALL, device=CPU, checkpoint=Checkpoint(tmp_path / "whole", {"a": 1}))
    assert losses[-1] < losses[0]

    class Killed(Exception):
        pass

    class Fragile(Checkpoint):
        def save(self, tensors, **facts):
            super().save(tensors, **facts)
            if len(facts["losses"]) == 2:
                raise Killed

    with pytest.raises(Killed):
        pretrain(data, SMALL, device=CPU, checkpoint=Fragile(tmp_path / "cut", {"a": 1}))
    resumed, again = pretrain(data, SMALL, device=CPU, checkpoint=Checkpoint(tmp_path / "cut", {"a": 1}))
    assert again == losses
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_state_of_other_settings_is_ignored(tmp_path):
    Checkpoint(tmp_path / "out", {"a": 1}).save({"x": torch.ones(2)}, done=3)
    tensors, facts = Checkpoint(tmp_path / "out", {"a": 1}).load()
    assert facts == {"done": 3}
    assert torch.equal(tensors["x"], torch.ones(2))
    assert Checkpoint(tmp_path / "out", {"a": 2}).load() is None
    (tmp_path / ".out.state").write_bytes(b"garbage")
    assert Checkpoint(tmp_path / "out", {"a": 1}).load() is None


def test_too_few_images_for_a_batch_is_an_error(images, tmp_path):
    with pytest.raises(ValueError, match="60 images are fewer than one batch of 512"):
        pretrain(torch.from_numpy(images), SMALL.model_copy(update={"batch_size": 512}), device=CPU, checkpoint=Checkpoint(tmp_path / "x", {}))
