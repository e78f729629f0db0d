"""Figure 6: how large the poisons' largest pixels are, against the clean training images."""

import numpy as np
import seaborn
from matplotlib.figure import Figure

from featpoison.render.poison_images import Shown, sizes

BINS = 30
# Two scenarios differ in colour, hatch and outline, so that they can be told apart in grey too.
LOOKS = [
    {"color": seaborn.color_palette("colorblind")[0], "alpha": 0.3, "linestyle": "-", "hatch": None},
    {"color": seaborn.color_palette("colorblind")[3], "alpha": 0.1, "linestyle": "--", "hatch": "/////"},
]


def draw(scenarios: dict[str, list[Shown]], clean_largest: float) -> Figure:
    """One panel per beta that all scenarios have, with shared bins and axes; the dotted line marks the
    largest clean magnitude."""
    betas = [
        part.beta
        for part in next(iter(scenarios.values()))
        if all(part.beta in [other.beta for other in parts] for parts in scenarios.values())
    ]
    if not betas:
        raise ValueError(f"no beta is common to the scenarios {', '.join(scenarios)}; expected at least one")
    panels_of = {
        beta: {name: next(part for part in parts if part.beta == beta) for name, parts in scenarios.items()}
        for beta in betas
    }
    largest = max(sizes(part).max() for parts in panels_of.values() for part in parts.values())
    bins = np.linspace(0, max(clean_largest, largest), BINS + 1)
    figure = Figure(figsize=(2.1 * len(betas) + 0.7 * len(scenarios), 2.35), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(betas), sharex=True, sharey=True))
    for axes, (beta, parts) in zip(panels, panels_of.items(), strict=True):
        beyond = []
        for look, (name, part) in zip(LOOKS, parts.items(), strict=False):
            size = sizes(part)
            seaborn.histplot(
                x=size,
                bins=bins,
                stat="percent",
                ax=axes,
                element="step",
                linewidth=1.1,
                label=f"{name} (n = {len(size)})",
                **look,
            )
            beyond.append(f"{name} {100 * np.mean(size > clean_largest):.0f} %")
        axes.axvline(clean_largest, color="black", linestyle=":", linewidth=1.2, label="largest clean pixel")
        eps_d = next(iter(parts.values())).eps_d
        axes.set_title(
            rf"$\beta$ = {beta:g}, $\epsilon_d$ = {eps_d:g}" + f"\nbeyond clean: {', '.join(beyond)}",
            fontsize=7,
        )
        axes.set_xlabel(r"largest pixel $\|\nu\|_\infty$ (clean range 1)")
        axes.set_ylabel("share of the poisons (%)")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=1 + len(scenarios),
        frameon=False,
        fontsize=7,
    )
    return figure
