"""The look of every picture, and files whose bytes repeat."""

import logging
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every glyph that a PDF embeds
matplotlib.use("Agg")
matplotlib.rcParams.update(
    {
        "font.family": "DejaVu Sans",
        "font.size": 8,
        "pdf.fonttype": 42,
        "savefig.dpi": 200,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
)


def save(figure: Figure, path: Path) -> None:
    """Write a PDF or PNG without time stamp or software version."""
    metadata = (
        {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None}
        if path.suffix == ".pdf"
        else {"Software": None}
    )
    figure.savefig(path, metadata=metadata, bbox_inches="tight", pad_inches=0.05)
