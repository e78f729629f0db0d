"""torchvision's image classifiers without their last linear layer.

Those that pool to several places (VGG, AlexNet) have no deterministic gradient on GPUs; torch stops there
with an error that says so.
"""

import difflib
from typing import Any

import torchvision
from torch import nn
from torchvision.models import get_model, get_model_weights, list_models

from featpoison.encoders.architecture import Interpolation
from featpoison.encoders.trunk import EncoderError, Trunk

# What torchvision itself sets where it loads published weights; initialising the models takes a minute.
OPTIONS: dict[str, dict[str, Any]] = {
    name: {"transform_input": True, "init_weights": False} for name in ("googlenet", "inception_v3")
}


def torchvision_model(name: str) -> Trunk:
    """The untrained model `name`; its features are what its last linear layer would see.

    Raises EncoderError where torchvision does not know it, listing names that are close, or where it has no
    linear layer.
    """
    known = list_models(module=torchvision.models)
    if name not in known:
        close = difflib.get_close_matches(name, known)
        raise EncoderError(
            f"torchvision:{name}: torchvision {torchvision.__version__} has no such model, "
            f"closest are {close}"
        )
    network = get_model(name, weights=None, **OPTIONS.get(name, {}))
    linear = [(key, module) for key, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise EncoderError(
            f"torchvision:{name}: its classifier is no linear layer, "
            "expected a model with features before one"
        )
    key, last = linear[-1]
    network.set_submodule(key, nn.Identity())
    return Trunk(network, last.in_features, (key,), interpolation=_interpolation(name))


def _interpolation(name: str) -> Interpolation:
    """How the default weights of the model `name` have images resized; bilinear where there are none."""
    weights = list(get_model_weights(name))
    return weights[0].DEFAULT.transforms().interpolation.value if weights else "bilinear"
