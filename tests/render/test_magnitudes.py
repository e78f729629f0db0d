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


def test_bars_are_shares_of_the_poisons_in_percent():
    """Five poisons in bins of their own: 20 % each; two poisons: 50 % each."""
    figure = magnitudes.draw({"fine-tuning": two_kinds()[0], "transfer": [of_sizes(0.1, [0.5, 3.0])]}, 1.0)
    (axes,) = figure.axes
    heights = [steps.get_paths()[0].vertices[:, 1].max() for steps in axes.collections]
    assert heights == pytest.approx([20.0, 50.0])
    (largest_clean,) = [line for line in axes.lines if line.get_label() == "largest clean pixel"]
    assert list(largest_clean.get_xdata()) == [1.0, 1.0]
