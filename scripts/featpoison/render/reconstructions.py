"""Figure 4: test images and their reconstructions by each kind of decoder."""

import numpy as np
from matplotlib.figure import Figure

from featpoison.render import grid

TITLES = {"plain": "fixed encoder", "end-to-end": "end to end", "skip": "U-Net"}  # rows in the paper's order


def draw(shown: dict[str, np.ndarray], errors: dict[str, dict[str, float]], test_images: int) -> Figure:
    """A row of originals, and one per kind with its errors; `shown` holds `original` and each kind, (k, 3, h,
    w) in [0, 1]."""
    rows = [("original", shown["original"])]
    for kind, title in TITLES.items():
        rows.append(
            (f"{title}\nL1 {errors[kind]['l1']:.3f}\nMS-SSIM {errors[kind]['ms_ssim']:.3f}", shown[kind])
        )
    return grid.draw(
        rows,
        f"L1 (pixels in [0, 1]) and MS-SSIM between original and reconstruction: means over {test_images} "
        "test images",
    )
