import math

import torch
from featpoison.common.finite import first_not_finite


def test_the_first_value_that_is_not_finite_is_found_with_its_place():
    good = [torch.tensor(float(value)) for value in range(3)]
    assert first_not_finite(good) is None
    assert first_not_finite([*good, torch.tensor(math.inf), torch.tensor(math.nan)]) == (3, math.inf)
    place, value = first_not_finite([torch.tensor(math.nan), *good])
    assert place == 0
    assert math.isnan(value)
