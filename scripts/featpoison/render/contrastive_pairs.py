"""Random views of images and how alike an encoder finds them: what contrastive pre-training is about."""

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize

from featpoison.common.seeds import stream
from featpoison.encoders.encoder import Encoder
from featpoison.encoders.features import extract
from featpoison.pretraining.augment import Augmentation, augment
from featpoison.records.provenance import canonical_json
from featpoison.records.seal import read_metadata


def recorded_training(encoder: Path) -> tuple[str, Augmentation]:
    """How an encoder was pre-trained, in words, and under which augmentations, by its record; the defaults
    where it has none."""
    record = read_metadata(encoder).get("provenance") or {}
    settings = (record.get("origin") or record).get("settings", {})
    if "augmentation" not in settings:
        return "pre-trained", Augmentation()
    return f"SimCLR,\n{settings['epochs']} epochs", Augmentation.model_validate_json(
        canonical_json(settings["augmentation"])
    )


def two_views(
    images: np.ndarray, strengths: Augmentation, encoder: Encoder, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two random views of each image (k, 3, h, w) in [0, 1], (2, k, 3, h, w), and the cosines between their
    features, (k, k)."""
    place = torch.device("cpu")
    views = [
        augment(torch.from_numpy(images), strengths, stream(seed, view, device=place)) for view in range(2)
    ]
    first, second = (normalize(extract(view, encoder).double(), dim=1) for view in views)
    return torch.stack(views).numpy(), (first @ second.T).numpy()
