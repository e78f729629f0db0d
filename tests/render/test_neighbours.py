"""The figure with nearest neighbours: places, frames, bytes."""

import numpy as np
from featpoison.render.neighbours import OTHER, OWN, WANTED, Neighbours, Target, draw
from featpoison.render.style import save
from matplotlib.colors import to_hex


def targets():
    def neighbours(*labels):
        images = np.stack([np.full((3, 8, 8), 20 * label, np.uint8) for label in labels])
        return Neighbours(images, np.array(labels))

    image = np.full((3, 8, 8), 250, np.uint8)
    return [
        Target(image, 1, 2, "cat to dog", neighbours(1, 1, 3), neighbours(2, 1, 2)),
        Target(image, 4, 0, "deer to plane", neighbours(4, 4, 4), neighbours(0, 0, 0)),
    ]


def test_frames_tell_the_classes_of_neighbours():
    figure = draw(targets(), "clean", "poisoned")
    shown = {}
    for axes in figure.axes:
        box = axes.get_position()
        frame = axes.spines["left"]
        colour = to_hex(frame.get_edgecolor()) if frame.get_visible() else None
        value = int(axes.images[0].get_array()[0, 0, 0])
        shown.setdefault(round(-box.y0, 3), []).append((box.x0, value, colour))
    first, second = ([part[1:] for part in sorted(shown[key])] for key in sorted(shown))
    own, wanted, other = to_hex(OWN), to_hex(WANTED), to_hex(OTHER)
    assert first == [(250, None), (20, own), (20, own), (60, other), (40, wanted), (20, own), (40, wanted)]
    assert second == [(250, None), *[(80, own)] * 3, *[(0, wanted)] * 3]
    texts = [text.get_text() for text in figure.texts]
    assert texts == ["clean", "poisoned"]
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["cat to dog", "deer to plane"]


def test_pictures_repeat_byte_for_byte(tmp_path):
    for name in ("a", "b"):
        for form in ("png", "pdf"):
            save(draw(targets(), "clean", "poisoned"), tmp_path / f"{name}.{form}")
    for form in ("png", "pdf"):
        assert (tmp_path / f"a.{form}").read_bytes() == (tmp_path / f"b.{form}").read_bytes()
