"""What figures of tests are drawn from, and what a drawn figure is: pictures that show something."""

from pathlib import Path

import numpy as np
from featpoison.render import layout, pca, stages, threat_model
from featpoison.render.poison_images import Shown
from featpoison.results.cells import Cell
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

HEAD = {"makes": "target", "title": "GradPC (feature space)"}
MATCHING = {"makes": "images", "title": "Feature matching (beta = 0.25)", "group": "targeted", "set": "free"}
CELLS = [
    Cell(
        "gradpc-feature",
        None,
        budget,
        "1x1",
        "target",
        60.0,
        50.0,
        10.0,
        9.0,
        11.0,
        36.71,
        1.5,
        None,
        None,
        "t.h5",
        **HEAD,
    )
    for budget in (0.03, 0.1)
] + [
    Cell(
        "feature-matching",
        0.25,
        budget,
        seeds,
        victim,
        60.0,
        58.5,
        1.5,
        0.5,
        2.5,
        printed,
        1.5,
        0.75,
        1.25,
        "v.h5",
        **MATCHING,
    )
    for budget, printed in ((0.03, 6.3), (0.1, None))
    for victim, seeds in (("sgd100", "3x5"), ("converged", "3x1"))
]
"""A table of two rows and two budgets."""
OF_ONE_ATTACK = [
    Cell(
        "feature-matching",
        0.25,
        0.03,
        "3x5",
        victim,
        63.0,
        60.0,
        3.0,
        1.0,
        5.0,
        None,
        1.5,
        0.75,
        1.25,
        "v.h5",
    )
    for victim in ("sgd100", "converged")
]
FACTS = layout.Facts(
    swing=0.25,
    targets=(
        layout.TargetFacts(
            "gradpc-feature", None, 1.5, 0.75, eps_w=1.0, scale=1.0, step_size=None, epochs=None
        ),
        layout.TargetFacts("reachable", 0.03, 0.009, 0.875, eps_w=2.0, scale=0.5, step_size=0.01, epochs=30),
    ),
)


def poisons(
    generator: np.random.Generator, count: int = 12, scale: float = 0.4
) -> tuple[np.ndarray, np.ndarray]:
    """Base images and poisons around them."""
    base = generator.random((count, 3, 8, 8)).astype(np.float32)
    return base, base + scale * generator.normal(size=base.shape).astype(np.float32)


def of_sizes(beta: float, values: list[float], base: np.ndarray | None = None) -> Shown:
    """Poisons with these largest pixels, of lively images below them."""
    images = np.random.default_rng(len(values)).uniform(0, 0.4, (len(values), 3, 4, 4)).astype(np.float32)
    images[:, 0, 0, 0] = values
    return Shown(beta, 0.03, images, np.arange(len(values)) if base is None else base)


def two_kinds() -> tuple[list[Shown], np.ndarray]:
    """Poisons of two betas, within the clean range and beyond it, and their base images."""
    shown = [of_sizes(0.25, [0.5, 1.2, 0.9, 1.3, 0.8]), of_sizes(0.1, [0.7, 1.5, 1.1, 1.6, 0.9])]
    return shown, np.random.default_rng(0).random((5, 3, 4, 4), np.float32)


def of_two_betas() -> tuple[list[Shown], list[np.ndarray]]:
    """Poisons of two betas and the base images of each."""
    base, poisoned = poisons(np.random.default_rng(0), 4, 1.2)
    noise = poisoned - base
    return [Shown(beta, 0.03, base + (0.25 / beta) * noise, np.arange(4)) for beta in (0.25, 0.1)], [
        base,
        base,
    ]


def three_stages() -> stages.Stages:
    """Random features, some of them flipped, and random images."""
    generator = np.random.default_rng(0)
    train, zeta = generator.normal(size=(60, 6)), 3 * generator.normal(size=(12, 6))
    base, images = poisons(generator, 5)
    return stages.Stages(
        plane=pca.fit(train),
        train=train,
        test=generator.normal(size=(30, 6)),
        flipped=generator.random(30) < 0.2,
        accuracies=(0.9, 0.7),
        tau=1.5,
        start=train[:12],
        zeta=zeta,
        eps_d=0.2,
        residual=0.5,
        base=base,
        poisons=images,
        from_features=train[:5],
        to_features=(train[:5] + zeta[:5]) / 2,
        aims=zeta[:5],
        beta=0.25,
    )


def threat() -> threat_model.ThreatModel:
    """Five random images of five classes, and cells of both victims."""
    base, images = poisons(np.random.default_rng(0), 5)
    names = ["ant", "bee", "cat", "dog", "elk"]
    return threat_model.ThreatModel(
        training="SimCLR,\n3 epochs",
        views=np.stack([base, images]),
        similarity=np.eye(5) * 0.5 + 0.4,
        clean=base,
        clean_labels=names,
        poisons=images,
        poison_labels=names,
        rows=(60, 12),
        eps_d=0.2,
        beta=0.25,
        cells=OF_ONE_ATTACK,
    )


NUMBERS = {
    "method": "gc-feature",
    "beta": None,
    "eps_d": 0.03,
    "seeds": "2x2",
    "victim": "sgd100",
    "clean_accuracy": 63.0,
    "accuracy": 57.0,
    "drop": 6.0,
    "drop_low": 4.0,
    "drop_high": 8.0,
    "tau": 0.01,
    "residual": 0.125,
    "magnitude_ratio": 3.5,
    "title": "GC-feature",
}
"""What cells of any kind say of one attack."""


def texts(figure: Figure) -> str:
    """All the words of a figure."""
    return "\n".join(item.get_text() for item in figure.findobj(lambda thing: hasattr(thing, "get_text")))


# What is drawn


def content_of(axes: Axes) -> list[Artist]:
    """What a panel shows: images, lines, dots, bars; in a panel without any, its words."""
    shown = [*axes.images, *axes.lines, *axes.collections, *axes.patches]
    return [artist for artist in shown or axes.texts if artist.get_visible()]


def panels(figure: Figure) -> list[Axes]:
    """The axes that show something, or would."""
    return [axes for axes in figure.axes if content_of(axes)]


def pixels(figure: Figure) -> np.ndarray:
    """The figure as it is painted, (height, width, 3), in [0, 1]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255.0


def clear(figure: Figure) -> None:
    """Take away what the panels show; frames, titles and labels stay."""
    for axes in figure.axes:
        for artist in [*content_of(axes), *axes.texts]:
            artist.set_visible(False)


def of_picture(path: Path) -> float:
    """The standard deviation of a picture's pixels, in [0, 1]: 0 where it is blank."""
    with Image.open(path) as picture:
        return float(np.asarray(picture.convert("RGB")).std() / 255)


def assert_drawn(figure: Figure) -> None:
    """Every panel shows something, and every image in it is more than one colour."""
    shown = panels(figure)
    assert shown, "no panel shows anything"
    painted = pixels(figure)
    places = [_place(axes, painted.shape[0]) for axes in shown]
    for axes, place in zip(shown, places, strict=True):
        if axes.images:
            deviation = painted[place].std()
            assert deviation > 0.02, f"an image is of one colour (standard deviation {deviation:.3f})"
    hidden = {artist for axes in shown for artist in content_of(axes)}
    for artist in hidden:
        artist.set_visible(False)
    blank = pixels(figure)
    for artist in hidden:
        artist.set_visible(True)
    for place in places:
        changed = np.abs(painted[place] - blank[place]).max(-1) > 0.02
        assert changed.mean() > 0.002, f"a panel of {changed.shape} pixels shows nothing"


def _place(axes: Axes, height: int) -> tuple[slice, slice]:
    """The rows and columns of a panel in the painted figure."""
    left, bottom, right, top = axes.get_window_extent().extents.round().astype(int)
    return slice(max(height - top, 0), height - bottom), slice(max(left, 0), right)
