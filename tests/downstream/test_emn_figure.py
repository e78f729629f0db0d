"""EMN in Figure 8."""

import numpy as np
from featpoison.render import emn_noise as figure
from noise_files import BASE


def test_figure_8_shows_clean_images_once_and_scales_the_noise(files, images, monkeypatch):
    path, noise = files
    names = noise("a.h5", "input", 0), noise("b.h5", "input", 1), noise("c.h5", "input", 2, base=BASE - 1)
    shown = [
        figure.read_perturbed(scenario, path, file, 4)
        for scenario, file in zip(("one", "two", "three"), names, strict=True)
    ]
    rows = {}
    monkeypatch.setattr(figure.grid, "draw", lambda lines, note: rows.update(lines=lines, note=note))
    figure.draw(shown[:2], 10.0)
    assert [label for label, _ in rows["lines"]] == [
        "clean",
        "one",
        "two",
        "one, noise x 10",
        "two, noise x 10",
    ]
    clean, one, _, amplified, _ = (array for _, array in rows["lines"])
    np.testing.assert_allclose(clean, images[BASE[:4]] / 255, rtol=1e-6)
    np.testing.assert_allclose(amplified, 0.5 + 10 * (one - clean), atol=1e-5)
    assert "10 times" in rows["note"]
    figure.draw(shown, 10.0)
    assert [label for label, _ in rows["lines"]][:5] == ["clean", "one", "two", "clean", "three"]
