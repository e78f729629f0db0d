"""Models of timm (https://github.com/huggingface/pytorch-image-models) without their classifiers.

Among them is the ViT-B/16 of `vit-base-16`. The ViT of MoCo v3 (Chen, Xie and He, 2021,
https://arxiv.org/abs/2104.02057) has timm's layout. Its sine-cosine position embedding is fixed, and stored
among its weights like any other tensor.
"""

import difflib
from typing import Any

import timm

from featpoison.encoders.trunk import EncoderError, Trunk


def timm_model(name: str) -> Trunk:
    """The untrained model `name`, which is `NAME` or `NAME.TAG`.

    Its features are what its classifier would see. Raises EncoderError, listing names or tags, where timm
    does not know it.
    """
    known = timm.list_models()
    model, _, _ = name.partition(".")
    if model not in known:
        close = difflib.get_close_matches(model, known)
        raise EncoderError(f"timm:{name}: timm {timm.__version__} has no such model, closest are {close}")
    try:
        network: Any = timm.create_model(name, pretrained=False, num_classes=0)
    except RuntimeError as error:  # timm knows the model, but not the tag
        tags = [tagged.partition(".")[2] for tagged in timm.list_pretrained(model)]
        raise EncoderError(f"timm:{name}: {error}; expected a tag of {tags}") from error
    config = network.pretrained_cfg
    layers = config.get("classifier") or ()
    classifier = (layers,) if isinstance(layers, str) else tuple(layers)
    normalisation = tuple(config["mean"]), tuple(config["std"])
    dimension = getattr(network, "head_hidden_size", None) or network.num_features
    return Trunk(network, int(dimension), classifier, normalisation, config["interpolation"])
