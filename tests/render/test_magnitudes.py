"""Figure 6: scenarios beside each other."""

import pytest
from featpoison.render import magnitudes
from oracles.pictures import of_sizes, two_kinds


def test_scenarios_share_bins_and_show_common_betas():
    figure = magnitudes.draw({"fine-tuning": two_kinds()[0], "transfer": [of_sizes(0.1, [0.5, 3.0])]}, 1.0)
    (axes,) = figure.axes
    assert "fine-tuning 60 %, transfer 50 %" in axes.get_title()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["fine-tuning (n = 5)", "transfer (n = 2)", "largest clean pixel"]
    assert axes.get_legend() is None  # outside of the axes it meets no line
    with pytest.raises(ValueError, match="no beta is common"):
        magnitudes.draw({"a": [of_sizes(0.25, [1.0])], "b": [of_sizes(0.1, [1.0])]}, 1.0)
