"""Pre-training on a part of the images, from an encoder, with snapshots, and without crops."""

from dataclasses import dataclass, field

import pytest
import torch
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.encoder import Encoder, load_encoder, save_encoder
from featpoison.encoders.trunk import EncoderError
from featpoison.pretraining.augment import Augmentation, draw_crops, random_crops
from featpoison.pretraining.simclr import SimCLR, pretrain
from featpoison.pretraining.snapshots import Snapshots, load_snapshot
from featpoison.pretraining.training import Subset, Training, drawn
from featpoison.records.checkpoints import Checkpoint
from featpoison.records.seal import verify
from helpers import RECORD, Forgetful, Fragile, Killed
from hypothesis import given
from hypothesis import strategies as st

CPU = torch.device("cpu")
SMALL = SimCLR(
    architecture=Architecture(width=8, stem_stride=2),
    epochs=3,
    batch_size=8,
    warmup_epochs=0,
    precision="float32",
)


def numbered(*counts):
    """Sets of images whose pixels are their number, counted through all sets."""
    numbers = torch.arange(sum(counts), dtype=torch.uint8).view(-1, 1, 1, 1)
    return list(numbers.expand(-1, 3, 4, 4).split(counts))


def images(count=16):
    return torch.randint(
        0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@given(st.lists(st.integers(0, 20), min_size=1, max_size=4), st.data())
def test_a_subset_is_so_many_images_of_all_sets_and_none_twice(counts, data):
    total = sum(counts)
    wanted = data.draw(st.integers(1, max(total, 1)))
    subset = Subset(images=wanted, seed=data.draw(st.integers(0, 5)))
    if wanted > total:
        with pytest.raises(ValueError, match=f"'subset.images' is {wanted}, expected at most the {total}"):
            drawn(numbered(*counts), subset)
        return
    parts = drawn(numbered(*counts), subset)
    assert [part.shape[1:] for part in parts] == [(3, 4, 4)] * len(counts)
    found = torch.cat(parts)[:, 0, 0, 0].tolist()
    assert found == sorted(set(found))
    assert len(found) == wanted
    starts = [sum(counts[:i]) for i in range(len(counts))]
    for part, start, count in zip(parts, starts, counts, strict=True):
        assert all(start <= number < start + count for number in part[:, 0, 0, 0].tolist())


def test_subsets_differ_by_seed_and_are_fair():
    """Each of thirty images is in a third of the subsets of ten."""
    sets = numbered(20, 10)
    found = [torch.cat(drawn(sets, Subset(images=10, seed=seed)))[:, 0, 0, 0] for seed in range(600)]
    counts = torch.bincount(torch.cat(found).long(), minlength=30)
    assert len({tuple(one.tolist()) for one in found}) > 590
    assert ((counts - 200).abs() < 5 * (600 * 1 / 3 * 2 / 3) ** 0.5).all()


def test_without_a_subset_all_images_are_seen():
    sets = numbered(4, 0, 3)
    assert all(one is other for one, other in zip(drawn(sets, None), sets, strict=True))


def test_training_begins_at_the_weights_of_an_encoder():
    """At step size 0, as good as, it ends there too, but for BatchNorm's statistics."""
    start = Encoder(SMALL.architecture).freeze()
    still = SMALL.model_copy(update={"learning_rate": 1e-30, "weight_decay": 0.0, "epochs": 1})
    made, _ = pretrain(images(), still, device=CPU, checkpoint=Forgetful(), start=start)
    for (name, one), other in zip(made.named_parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(one, other, msg=name)
    random, _ = pretrain(images(), still, device=CPU, checkpoint=Forgetful())
    assert not torch.equal(next(random.parameters()), next(start.parameters()))


def test_a_start_of_another_architecture_is_refused():
    start = Encoder(Architecture(width=16, stem_stride=2))
    with pytest.raises(ValueError, match=r"'start' is an encoder of .*\"width\":16.*expected.*\"width\":8"):
        pretrain(images(), SMALL, device=CPU, checkpoint=Forgetful(), start=start)


@dataclass
class Seen:
    """The epochs after which it was called, and the first weight then."""

    weights: dict[int, float] = field(default_factory=dict)

    def __call__(self, epoch, encoder):
        self.weights[epoch] = next(encoder.parameters()).flatten()[0].item()


def test_after_each_epoch_the_encoder_is_shown():
    seen = Seen()
    made, _ = pretrain(images(), SMALL, device=CPU, checkpoint=Forgetful(), after_epoch=seen)
    assert list(seen.weights) == [1, 2, 3]
    assert len(set(seen.weights.values())) == 3
    assert seen.weights[3] == next(made.parameters()).flatten()[0].item()


def test_snapshots_outlast_a_kill_and_are_those_of_an_undisturbed_training(tmp_path):
    def train(name, checkpoint):
        output = tmp_path / name
        kept = Snapshots(output, (1, 3, 1))
        encoder, losses = pretrain(images(), SMALL, device=CPU, checkpoint=checkpoint, after_epoch=kept.keep)
        kept.join(tmp_path / f"{name}.snapshots", encoder, RECORD, losses)
        save_encoder(output, encoder, RECORD, dtype=torch.bfloat16)
        kept.remove()

    with pytest.raises(Killed):
        train("cut", Fragile(tmp_path / "cut", RECORD, lambda facts: len(facts["losses"]) == 2))
    train("cut", Checkpoint(tmp_path / "cut", RECORD))
    train("whole", Forgetful())
    verify(tmp_path / "whole.snapshots")
    first, losses = load_snapshot(tmp_path / "whole.snapshots", 1)
    last, _ = load_snapshot(tmp_path / "whole.snapshots", 3)
    assert len(losses) == 1
    whole = load_encoder(tmp_path / "whole").state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in last.state_dict().items())
    again, _ = load_snapshot(tmp_path / "cut.snapshots", 1)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert any(not torch.equal(value, whole[name]) for name, value in first.state_dict().items())
    assert {path.name for path in tmp_path.iterdir()} == {
        "cut",
        ".cut.state",
        "cut.snapshots",
        "whole",
        "whole.snapshots",
    }
    with pytest.raises(EncoderError, match="'epoch' is 2, expected one of 1, 3"):
        load_snapshot(tmp_path / "whole.snapshots", 2)


def test_settings_of_a_training_are_those_of_simclr_and_more():
    settings = Training.model_validate_json('{"epochs": 2, "subset": {"images": 5}, "snapshots": [1]}')
    assert (settings.epochs, settings.subset, settings.snapshots) == (2, Subset(images=5), (1,))
    for wrong in ('{"subset": {"images": 0}}', '{"snapshots": [0]}', '{"subset": {"pictures": 1}}'):
        with pytest.raises(ValueError, match=r"subset|snapshots"):
            Training.model_validate_json(wrong)


# Views without crops


def test_without_crops_a_view_is_the_whole_image_or_its_mirror():
    pixels = torch.rand(40, 3, 6, 6)
    views = random_crops(pixels, (6, 6), Augmentation(crop_scale=None), torch.Generator().manual_seed(0))
    plain = [torch.allclose(view, image, atol=1e-6) for view, image in zip(views, pixels, strict=True)]
    mirrored = [
        torch.allclose(view, image.flip(-1), atol=1e-6) for view, image in zip(views, pixels, strict=True)
    ]
    assert all(one != other for one, other in zip(plain, mirrored, strict=True))
    assert 8 < sum(plain) < 32


def test_without_crops_a_combination_is_squeezed_and_keeps_both_halves():
    """Which no crop does: (1, 1) takes the middle square of a wide image."""
    pixels = torch.cat([torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)], 3)
    (view,) = random_crops(pixels, (8, 8), Augmentation(crop_scale=None), torch.Generator().manual_seed(0))
    assert sorted({view[..., :3].mean().item(), view[..., 5:].mean().item()}) == [0.0, 1.0]


def test_without_crops_none_is_drawn():
    with pytest.raises(ValueError, match="'crop_scale' is null, expected two shares"):
        draw_crops(2, (8, 8), Augmentation(crop_scale=None), torch.Generator())
