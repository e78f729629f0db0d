"""Models of timm (https://github.com/huggingface/pytorch-image-models) without their classifiers, among them the ViT-B/16 of `vit-base-16`.

MoCo v3's ViT (Chen, Xie and He, 2021, https://arxiv.org/abs/2104.02057) has timm's layout; its sine-cosine position embedding is fixed,
and part of its weights like any other.
"""

import difflib
from typing import Any

import timm

from featpoison.encoders.trunks import EncoderError, Trunk


def timm_model(name: str) -> Trunk:
    """The untrained model `name`, `NAME` or `NAME.TAG`; features are what its classifier would see. Raises EncoderError."""
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        close = difflib.get_close_matches(name.partition(".")[0], known)
        raise EncoderError(f"timm:{name}: timm {timm.__version__} has no such model, closest are {close}")
    try:
        network: Any = timm.create_model(name, pretrained=False, num_classes=0)
    except RuntimeError as error:  # of a tag that it does not know
        tags = [tagged.partition(".")[2] for tagged in timm.list_pretrained(name.partition(".")[0])]
        raise EncoderError(f"timm:{name}: {error}; expected a tag of {tags}") from error
    config = network.pretrained_cfg
    classifier = config.get("classifier") or ()
    normalisation = tuple(config["mean"]), tuple(config["std"])
    dimension = getattr(network, "head_hidden_size", None) or network.num_features
    return Trunk(network, int(dimension), (classifier,) if isinstance(classifier, str) else tuple(classifier), normalisation)
