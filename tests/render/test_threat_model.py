"""Figure 1: what it says."""

from dataclasses import replace

from featpoison.render import threat_model
from oracles.pictures import OF_ONE_ATTACK, texts, threat


def test_threat_model_shows_both_accuracies_of_both_victims():
    cells = [OF_ONE_ATTACK[0], replace(OF_ONE_ATTACK[1], accuracy=41.25)]
    words = texts(threat_model.draw(replace(threat(), cells=cells)))
    assert words.count("63.0") == 2
    assert "60.0" in words
    assert "41.2" in words
    assert "N = 60 clean, n = 12 poisons" in words
    assert "Pre-training, no poisons" in words
    assert "Downstream training, poisoned" in words


def test_bars_are_as_high_as_the_accuracies():
    cells = [OF_ONE_ATTACK[0], replace(OF_ONE_ATTACK[1], accuracy=41.25)]
    figure = threat_model.draw(replace(threat(), cells=cells))
    (axes,) = [axes for axes in figure.axes if axes.get_title() == "test accuracy (%)"]
    assert [bar.get_height() for bar in axes.patches] == [63.0, 60.0, 63.0, 41.25]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["sgd100", "converged"]
