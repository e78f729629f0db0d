"""BatchNorms as part of the convolutions that they follow.

In evaluation mode a BatchNorm is an affine map, and so is a convolution: together they are one convolution.
"""

from collections.abc import Iterator
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Classes whose `forward` applies these pairs of children one right after the other. They are known by name,
# so that no model library is imported.
PAIRS = {
    "featpoison.encoders.resnet.CifarResNet18": [("conv1", "bn1")],
    "featpoison.encoders.resnet.BasicBlock": [("conv1", "bn1"), ("conv2", "bn2")],
    "featpoison.encoders.resnet50.ResNet50": [("conv1", "bn1")],
    "torchvision.models.resnet.ResNet": [("conv1", "bn1")],
    "torchvision.models.resnet.BasicBlock": [("conv1", "bn1"), ("conv2", "bn2")],
    "torchvision.models.resnet.Bottleneck": [("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")],
    "timm.models.resnet.ResNet": [("conv1", "bn1")],
    "timm.models.resnet.BasicBlock": [("conv1", "bn1"), ("conv2", "bn2")],
    "timm.models.resnet.Bottleneck": [("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")],
    "timm.layers.conv_bn_act.ConvNormAct": [("conv", "bn")],
}


def fold_batchnorm(network: nn.Module) -> None:
    """In place, in evaluation mode: each BatchNorm that is known to follow a convolution becomes part of it.

    Other BatchNorms stay. The function of the network stays the same up to rounding.
    """
    for module in list(network.modules()):
        for convolution, batchnorm in list(_pairs(module)):
            before, after = module.get_submodule(convolution), module.get_submodule(batchnorm)
            if type(before) is nn.Conv2d and isinstance(after, nn.BatchNorm2d) and (rest := _rest(after)):
                setattr(module, convolution, fuse_conv_bn_eval(before, after))
                setattr(module, batchnorm, rest)


def _pairs(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of a convolution and the BatchNorm that follows it, among the children of a module."""
    kind = type(module)
    yield from PAIRS.get(f"{kind.__module__}.{kind.__qualname__}", [])
    if isinstance(module, nn.Sequential) and kind.forward is nn.Sequential.forward:
        yield from pairwise([name for name, _ in module.named_children()])


def _rest(batchnorm: nn.BatchNorm2d) -> nn.Module | None:
    """What is left of a folded layer: nothing, or the activation that timm's layers apply, too.

    None where it is not known what else the layer does; it cannot be folded then.
    """
    if type(batchnorm) is nn.BatchNorm2d:
        return nn.Identity()
    activation = getattr(batchnorm, "act", None)
    return activation if isinstance(activation, nn.Module) else None
