import torch
from featpoison.common.seeds import stream


def draw(*place):
    return tuple(torch.rand(4, generator=stream(*place)).tolist())


def test_a_place_has_one_stream_and_others_have_others():
    places = [(seed, epoch, step) for seed in range(4) for epoch in range(4) for step in range(4)]
    assert len({draw(*place) for place in places}) == len(places)
    assert draw(3, 1, 2) == draw(3, 1, 2)


def test_the_global_state_neither_matters_nor_moves():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = draw(5, 0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert draw(5, 0) == first
