"""How often two crops show different halves: the derivation against crops that are drawn and counted."""

import math

import pytest
from featpoison.attacks.cross_pairs import cross_probability, expected_cross_pairs, half_probabilities
from featpoison.pretraining.augment import Augmentation, draw_crops

COUNT = 200_000
STANDARD_ERRORS = 4.5  # of 180 comparisons all hold in 99.9 % of all seeds


def of_first_half(size, settings, stacked, generator):
    """How much of each of COUNT random crops lies in the first half."""
    top, left, height, width = draw_crops(COUNT, size, settings, generator)
    start, length = (top, height) if stacked else (left, width)
    start, length = start.double(), length.double()
    return ((start + length).clamp(max=0.5) - start).clamp(min=0) / length


def mostly(first, share):
    """Whether crops show mostly the first half, and mostly the second."""
    tiny = 1e-6  # shares of sides are float32
    return first >= share - tiny, 1 - first >= share - tiny


GEOMETRIES = [((32, 64), False), ((64, 32), True), ((32, 32), False), ((32, 32), True), ((48, 80), False)]
CROPS = [
    Augmentation(),
    Augmentation(crop_scale=(0.2, 1.0)),
    Augmentation(crop_scale=(0.05, 0.3), crop_ratio=(1 / 2, 3 / 2)),  # not symmetric
    Augmentation(crop_scale=(0.9, 1.0)),  # of a wide image hardly a crop fits
]


@pytest.mark.parametrize("settings", CROPS, ids=lambda one: f"{one.crop_scale}")
@pytest.mark.parametrize(("size", "stacked"), GEOMETRIES)
def test_probabilities_are_those_of_crops_that_are_drawn(size, stacked, settings, generator):
    crops = [of_first_half(size, settings, stacked, generator) for _ in range(2)]
    for share in (0.51, 0.75, 1.0):
        one, other = (mostly(first, share) for first in crops)
        cross = (one[0] & other[1]) | (one[1] & other[0])
        derived = (
            *half_probabilities(size, settings, stacked=stacked, share=share),
            cross_probability(size, settings, stacked=stacked, share=share),
        )
        for p, drawn in zip(derived, (one[0], one[1], cross), strict=True):
            error = math.sqrt(max(p * (1 - p), 1 / COUNT) / COUNT)
            assert drawn.double().mean().item() == pytest.approx(p, abs=STANDARD_ERRORS * error), share


def test_probabilities_by_hand():
    """Squares of 32 px in 32 x 64: of 33 places the first shows the left half alone, the first nine at least
    three quarters of it."""
    square = Augmentation(crop_scale=(0.5, 0.5), crop_ratio=(1.0, 1.0))
    for share, places in ((1.0, 1), (0.75, 9)):
        one, other = half_probabilities((32, 64), square, stacked=False, share=share)
        assert one == other == pytest.approx(places / 33)
        assert cross_probability((32, 64), square, stacked=False, share=share) == pytest.approx(
            2 * (places / 33) ** 2
        )
    # No square of four fifths of the area fits: the one in the middle shows half of each.
    large = Augmentation(crop_scale=(0.8, 0.8), crop_ratio=(1.0, 1.0))
    assert half_probabilities((32, 64), large, stacked=False, share=0.51) == (0, 0)
    # Nor one whose sides are as 4 to 3: 43 of 64 px begin after 10, and 22 of them are of the left half.
    wide = Augmentation(crop_scale=(0.8, 0.8), crop_ratio=(4 / 3, 4 / 3))
    assert half_probabilities((32, 64), wide, stacked=False, share=0.51) == (1, 0)


def test_whole_halves_give_many_more_cross_pairs_than_squeezed_ones():
    for scale, more in (((0.08, 1.0), 8), ((0.2, 1.0), 16)):
        crops = Augmentation(crop_scale=scale)
        whole, squeezed = (
            cross_probability(size, crops, stacked=False, share=0.75) for size in ((32, 64), (32, 32))
        )
        assert whole > more * squeezed > 0


def test_smaller_crops_and_a_lower_share_give_more():
    found = [
        cross_probability((32, 64), Augmentation(crop_scale=(0.02, top)), stacked=False, share=share)
        for top, share in ((1.0, 1.0), (0.5, 1.0), (0.5, 0.8), (0.2, 0.8), (0.03, 0.51))
    ]
    assert found == sorted(found)
    assert 0.4 < found[-1] < 0.5  # one half, for crops that are points


def test_expected_pairs():
    assert expected_cross_pairs(0.01 * 50_000 / 10, 100, 0.2) == pytest.approx(1000)


@pytest.mark.parametrize("share", [0.5, 0.0, 1.01, math.nan])
def test_a_share_that_is_none_is_named(share):
    with pytest.raises(ValueError, match=f"'share' is {share}, expected more than 0.5 and at most 1"):
        half_probabilities((32, 64), Augmentation(), stacked=False, share=share)
