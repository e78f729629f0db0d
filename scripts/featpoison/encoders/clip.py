"""CLIP's ResNet-50 image encoder (Radford et al., 2021, https://arxiv.org/abs/2103.00020).

It differs from other ResNet-50s in a stem of three layers, antialiased strides and a pooling by attention.
The blocks are timm's; `from_openai` renames the tensors of OpenAI's archive to theirs.
"""

from typing import Any

import timm
import torch
from timm.models.byobnet import checkpoint_filter_fn
from torch import Tensor, nn


class ClipResNet50(nn.Module):
    """The trunk, which takes normalised images to the projected attention pooling, d = 1024, not normalised.

    The position embedding of the pooling is made for images of side 224 and interpolated for others.
    """

    def __init__(self) -> None:
        super().__init__()
        model: Any = timm.create_model("resnet50_clip", pretrained=False)
        self.stem: nn.Module = model.stem
        self.stages: nn.Sequential = model.stages
        self.head: nn.Module = model.head
        self.dimension = int(model.head.out_features)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The map of the stem, and of each stage.

        The first is (n, 64, h / 4, w / 4), the last (n, 2048, h / 32, w / 32).
        """
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps

    def pool(self, last: Tensor) -> Tensor:
        """The last map to features, (n, 2048, ...) -> (n, 1024).

        Computes in float32 under autocast, too: matching cannot get closer to a target than features are
        rounded.
        """
        with torch.autocast(last.device.type, enabled=False):
            return self.head(last.float() if last.dtype == torch.bfloat16 else last)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, 1024)."""
        return self.pool(self.maps(x)[-1])


def from_openai(weights: dict[str, Tensor], trunk: Any) -> dict[str, Tensor]:
    """The tensors of OpenAI's image encoder under the names of `trunk`, a ClipResNet50.

    `weights` have OpenAI's names without the prefix `visual.`, such as `conv1.weight`. Unknown names stay as
    they are.
    """
    renamed = checkpoint_filter_fn({f"visual.{key}": value for key, value in weights.items()}, trunk)
    return {key.removeprefix("visual."): value for key, value in renamed.items()}
