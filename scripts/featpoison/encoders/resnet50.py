"""ResNet-50 (He et al., 2016, https://arxiv.org/abs/1512.03385) without its classifier.

The layout is torchvision's, which MoCo v3 uses, too.
"""

import torch
from torch import Tensor
from torchvision.models.resnet import Bottleneck, ResNet


class ResNet50(ResNet):
    """The trunk, which takes normalised images to the averages over the last stage, d = 2048."""

    dimension = 2048

    def __init__(self) -> None:
        super().__init__(Bottleneck, [3, 4, 6, 3])
        del self.fc, self.avgpool

    def maps(self, x: Tensor) -> list[Tensor]:
        """The map of the stem before its max-pool, and of each stage.

        The first is (n, 64, h / 2, w / 2), the last (n, 2048, h / 32, w / 32).
        """
        stem = self.relu(self.bn1(self.conv1(x)))
        maps = [stem, self.layer1(self.maxpool(stem))]
        for stage in (self.layer2, self.layer3, self.layer4):
            maps.append(stage(maps[-1]))
        return maps

    def pool(self, last: Tensor) -> Tensor:
        """The last map to features, (n, 2048, ...) -> (n, 2048), the mean over places.

        A map in bfloat16 is averaged in float32, as in `resnet.py`.
        """
        return last.mean((2, 3), dtype=torch.float32 if last.dtype == torch.bfloat16 else None)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, 2048)."""
        return self.pool(self.maps(x)[-1])
