"""Figure 7: which poisons it chooses and what it says of them."""

import numpy as np
import pytest
from featpoison.render import anomalies
from oracles.pictures import of_sizes, two_kinds


def test_columns_are_normal_or_abnormal_for_as_many_betas_as_possible():
    shown, _ = two_kinds()
    normal, abnormal = anomalies.choose(shown, 1.0)
    assert normal.rows.tolist() == [0, 4, 2]  # 2 is abnormal at the smaller beta
    assert [one.tolist() for one in normal.belongs] == [[True, True, True], [True, True, False]]
    assert abnormal.rows.tolist() == [1, 3, 2]
    assert [one.tolist() for one in abnormal.belongs] == [[True, True, False], [True, True, True]]


def test_anomalies_are_counted_and_empty_places_explained():
    shown, clean = two_kinds()
    note = anomalies.note_of(shown, anomalies.choose(shown, 1.0), 1.0)
    assert "2 of 5 at beta = 0.25, 3 of 5 at beta = 0.1" in note
    assert "0.1 shows 2 within the clean range" in note
    figure = anomalies.draw(shown, clean, 1.0)
    filled = sum(bool(axes.images) for axes in figure.axes)
    assert filled == 2 * 3 + 5 + 5  # base images of both kinds, then 3 + 2 and 2 + 3 poisons
    full = [of_sizes(beta, [0.5] * 4 + [1.5] * 4) for beta in (0.25, 0.1)]
    assert "empty" not in anomalies.note_of(full, anomalies.choose(full, 1.0), 1.0)
    none = [of_sizes(beta, [0.5] * 4) for beta in (0.25, 0.1)]
    assert "0.25 shows 0 beyond it" in anomalies.note_of(none, anomalies.choose(none, 1.0), 1.0)
    anomalies.draw(none, clean, 1.0)


def test_poisons_of_other_base_images_cannot_share_columns():
    with pytest.raises(ValueError, match="different base images"):
        anomalies.choose([of_sizes(0.25, [0.5, 1.5]), of_sizes(0.1, [0.5, 1.5], np.array([3, 4]))], 1.0)
