"""Figure 3: its window and its words."""

import numpy as np
import pytest
from featpoison.render import stages
from oracles.pictures import texts, three_stages


def test_a_window_holds_everything_at_one_scale():
    content = three_stages()
    limits = stages.window([content.train, content.zeta], content.plane, (2.0, 1.0))
    places = content.plane.project(content.zeta)
    assert (limits[0] < places.min(0)).all()
    assert (places.max(0) < limits[1]).all()
    size = limits[1] - limits[0]
    assert size[0] == pytest.approx(2 * size[1])


def test_stages_print_squared_distances_before_and_after():
    content = three_stages()
    words = texts(stages.draw(content))
    before, after = (
        np.square(part - content.aims).sum(1)[0] for part in (content.from_features, content.to_features)
    )
    assert f"{before:.0f}→{after:.0f}" in words
    assert "90.0 → 70.0 %" in words
    assert "= 0.50 left" in words
