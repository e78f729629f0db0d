"""The files that attacks read, of a small problem whose clean pixels do not span the range of an image."""

from pathlib import Path

import numpy as np
import torch
from featpoison import softmax, store
from featpoison.common.pixels import to_pixels
from featpoison.downstream.task import read_task
from featpoison.downstream.trajectory import Trajectory, train_heads
from featpoison.encoders.decoder import build, save_decoder
from featpoison.encoders.encoder import Encoder, save_encoder
from featpoison.encoders.features import extract
from featpoison.softmax import Head
from helpers import RECORD

STAGES = Trajectory(step_sizes=(0.01, 0.1), epochs=(2, 20), batch_size=8, draws=2, minibatch=8)


def write_files(folder: Path, encoder: Encoder, images: np.ndarray) -> dict[str, Path]:
    """By need: sixty images with pixels from 20 to 200 of 255, forty of them to train on; three classes."""
    made = ("images", "features", "clean", "trajectory", "target", "poisoned", "pairs")
    paths = {name: folder / f"{name}.h5" for name in made}
    paths |= {name: folder / f"{name}.safetensors" for name in ("encoder", "decoder")}
    pixels = (20 + (images.astype(np.float64) - images.min()) * 180 / np.ptp(images)).round().astype(np.uint8)
    labels = np.arange(60) % 3
    known = {"train_images": pixels[:40], "test_images": pixels[40:]}
    known |= {"train_labels": labels[:40], "test_labels": labels[40:]}
    store.write(paths["images"], known, RECORD, classes=["a", "b", "c"])
    save_encoder(paths["encoder"], encoder, RECORD)
    X = extract(pixels, encoder)
    cache = {"train": X[:40].numpy(), "test": X[40:].numpy()}
    cache |= {name: known[name] for name in ("train_labels", "test_labels")}
    store.write(paths["features"], cache, RECORD, classes=["a", "b", "c"])
    generator = torch.Generator().manual_seed(0)
    clean, target = (
        Head(weight=torch.randn(3, encoder.dimension, generator=generator), bias=torch.zeros(3))
        for _ in range(2)
    )
    store.write(paths["clean"], {"sgd100_omega": clean.omega[None, None].numpy()}, RECORD)
    task = read_task(paths["features"])
    store.write(paths["trajectory"], train_heads(task, STAGES).arrays(), RECORD)
    G = softmax.head_gradient(task.train, task.train_labels, target)
    heads = {"omega": target.omega[None].numpy(), "clean_gradient": G[None].numpy()}
    step = {"step_size": 0.1, "epochs": 2, "eps_w": 1.5, "scale": 0.5}  # of one of the stages
    store.write(paths["target"], heads, RECORD, tau=1.0, **step)
    base = np.array([3, 0, 39, 17])
    zeta = {"features": 1.5 * X[base].numpy(), "labels": labels[base], "base": base}
    store.write(paths["poisoned"], zeta, RECORD, eps_d=0.1)
    # Base images of other labels than the poisons have, which keep their own.
    pairs = zeta | {"labels": (labels[base] + np.array([0, 1, 2, 0])) % 3, "distance": np.ones(4)}
    store.write(paths["pairs"], pairs, RECORD, eps_d=0.1)
    decoder = build(encoder, "skip", (32, 32), (8, 8, 8, 8, 8))
    decoder.learn()
    decoder(to_pixels(pixels))  # statistics of its own
    save_decoder(paths["decoder"], decoder.freeze(), RECORD)
    return paths
