"""Figure 5: rows of poisons under their base images."""

from featpoison.render import grid, poisons
from featpoison.render.poison_images import Shown
from oracles.pictures import of_two_betas


def test_rows_with_other_base_images_show_their_own(monkeypatch):
    rows = {}
    monkeypatch.setattr(grid, "draw", lambda lines, note: rows.update(lines=lines, note=note))
    parts, clean = of_two_betas()
    poisons.draw(parts, clean)
    assert [label for label, _ in rows["lines"]] == ["clean", r"$\beta$ = 0.25", r"$\beta$ = 0.1"]
    parts[1] = Shown(0.1, 0.03, parts[1].images, parts[1].base + 1)
    poisons.draw(parts, clean)
    assert [label for label, _ in rows["lines"]] == ["clean", r"$\beta$ = 0.25", "clean", r"$\beta$ = 0.1"]
