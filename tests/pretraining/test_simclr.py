"""The loss, the step size and the training of SimCLR."""

import pytest
import torch
from featpoison.common.seeds import stream
from featpoison.encoders.encoder import Architecture, Encoder
from featpoison.pretraining.augment import Augmentation, augment
from featpoison.pretraining.barlow_twins import BarlowTwins
from featpoison.pretraining.simclr import SimCLR, learning_rate, nt_xent, pretrain, two_views
from featpoison.records.checkpoints import Checkpoint, unpack
from helpers import Forgetful, Fragile, Killed
from torch import nn


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


def test_the_loss_of_barlow_twins_falls_in_training_too(images):
    settings = SMALL.model_copy(update={"barlow_twins": BarlowTwins(), "learning_rate": 0.1})
    encoder, losses = pretrain(torch.from_numpy(images), settings, device=CPU, checkpoint=Forgetful())
    assert losses[-1] < losses[0]
    usual = settings.model_copy(update={"barlow_twins": None})
    other, _ = pretrain(torch.from_numpy(images), usual, device=CPU, checkpoint=Forgetful())
    assert not same_weights(encoder, other.state_dict())


def test_the_state_is_saved_after_the_epochs_where_that_is_due(images):
    class Second(Forgetful):
        """Due at the second question; keeps how many epochs each save had."""

        asked, saved = 0, ()

        def due(self):
            self.asked += 1
            return self.asked == 2

        def save(self, tensors, **facts):
            self.saved += (len(facts["losses"]),)

    checkpoint = Second()
    pretrain(torch.from_numpy(images), SMALL, device=CPU, checkpoint=checkpoint)
    assert (checkpoint.asked, checkpoint.saved) == (3, (2,))


def test_too_few_images_for_a_batch_is_an_error(images, tmp_path):
    with pytest.raises(ValueError, match="60 images are fewer than one batch of 512"):
        pretrain(
            torch.from_numpy(images),
            SMALL.model_copy(update={"batch_size": 512}),
            device=CPU,
            checkpoint=Checkpoint(tmp_path / "x", {}),
        )


def plain_training(images, settings):
    """The weights of a training on clean images, step by step and with nothing else."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        encoder = Encoder(settings.architecture)
        d = encoder.dimension
        network = nn.Sequential(
            encoder, nn.Linear(d, d), nn.ReLU(inplace=True), nn.Linear(d, settings.projection)
        )
    network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), momentum=0.9, weight_decay=5e-4)
    steps = len(images) // settings.batch_size
    for epoch in range(settings.epochs):
        generator = stream(settings.seed, epoch, device=CPU)
        order = torch.randperm(len(images), generator=generator)
        for step in range(steps):
            pixels = images[order[step * settings.batch_size :][: settings.batch_size]].float() / 255
            views = augment(torch.cat([pixels, pixels]), settings.augmentation, generator)
            first, second = network(views.contiguous(memory_format=torch.channels_last)).chunk(2)
            optimizer.param_groups[0]["lr"] = learning_rate(settings, epoch * steps + step, steps)
            optimizer.zero_grad()
            nt_xent(first, second, settings.temperature).backward()
            optimizer.step()
    return encoder.state_dict()


def same_weights(encoder, weights):
    return all(torch.equal(value, weights[key]) for key, value in encoder.state_dict().items())


def trained(images, poisons=(), checkpoint=None, **changes):
    settings = SMALL.model_copy(update=changes)
    return pretrain(images, settings, device=CPU, checkpoint=checkpoint or Forgetful(), poisons=poisons)


def test_clean_images_alone_train_as_the_plain_loop_bit_for_bit(images):
    data = torch.from_numpy(images)
    weights = plain_training(data, SMALL)
    assert same_weights(trained(data)[0], weights)
    wide, tall = torch.zeros(0, 3, 32, 64, dtype=torch.uint8), torch.zeros(0, 3, 64, 32, dtype=torch.uint8)
    assert same_weights(trained(data, [wide, tall])[0], weights)  # sets without an image change nothing


@pytest.fixture
def poisons(images):
    """Two sets, each of a size that the clean images have not."""
    data = torch.from_numpy(images)
    return [torch.cat([data[:7], data[7:14]], 3), torch.cat([data[20:25], data[25:30]], 2)]


def test_training_with_poisons_of_other_sizes_resumes_bit_for_bit(images, poisons, tmp_path):
    data = torch.from_numpy(images)
    whole, losses = trained(data, poisons)
    assert losses[-1] < losses[0]
    assert not same_weights(trained(data)[0], whole.state_dict())
    assert not same_weights(trained(data, poisons[:1])[0], whole.state_dict())
    cut = Fragile(tmp_path / "cut", {"a": 1}, lambda facts: len(facts["losses"]) == 2)
    with pytest.raises(Killed):
        trained(data, poisons, cut)
    resumed, again = trained(data, poisons, Checkpoint(tmp_path / "cut", {"a": 1}))
    assert again == losses
    assert same_weights(resumed, whole.state_dict())


PLAIN = Augmentation(
    crop_scale=(0.5, 0.5), crop_ratio=(1.0, 1.0), jitter_probability=0.0, grayscale_probability=0.0
)


def test_a_batch_mixes_sizes_and_keeps_pairs_together():
    """Images of one colour each, so that a view shows whose it is."""
    colours = torch.arange(12, dtype=torch.uint8) * 20
    sets = [
        colours[part].view(-1, 1, 1, 1).expand(-1, 3, *size)
        for part, size in ((slice(0, 6), (32, 32)), (slice(6, 9), (32, 64)), (slice(9, 12), (64, 32)))
    ]
    rows = torch.tensor([11, 0, 7, 5, 9])
    views = two_views(sets, rows, PLAIN, torch.Generator().manual_seed(0))
    assert views.shape == (10, 3, 32, 32)
    shown = (views.mean((1, 2, 3)) * 255 / 20).round().int().tolist()
    assert shown == 2 * [0, 5, 7, 11, 9]  # the sets in order
    assert len(two_views(sets, torch.tensor([6]), PLAIN, torch.Generator())) == 2  # no clean image


def test_crops_of_a_wide_image_are_taken_from_its_own_pixels():
    """Half of the area of 32 x 64 px is a square of 32 px: no pixel is interpolated across more than one."""
    wide = torch.arange(64, dtype=torch.uint8).expand(1, 3, 32, 64)
    clean = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    rows = torch.ones(40, dtype=torch.long)
    views = two_views([clean, wide], rows, PLAIN, torch.Generator().manual_seed(0)) * 255
    steps = views.diff(dim=3).abs()
    torch.testing.assert_close(steps, torch.ones_like(steps), rtol=0, atol=1e-3)
    assert len(set(views.amin((1, 2, 3)).round().int().tolist())) > 10  # at many places


def test_images_that_are_none_are_named(images, poisons):
    data = torch.from_numpy(images)
    with pytest.raises(ValueError, match=r"images: torch.float32 \(60, 3, 32, 32\), expected uint8"):
        trained(data.float())
    with pytest.raises(
        ValueError, match=r"poisons 1: torch.uint8 \(5, 64, 32\), expected uint8 \(n, 3, h, w"
    ):
        trained(data, [poisons[0], poisons[1][:, 0]])
    assert len(trained(data[:15], poisons, epochs=1)[1]) == 1  # 15 and 12 images are a batch of 20
    with pytest.raises(ValueError, match="17 images are fewer than one batch of 20"):
        trained(data[:5], poisons)
