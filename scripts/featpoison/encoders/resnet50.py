"""ResNet-50 (He et al., 2016, https://arxiv.org/abs/1512.03385) in torchvision's layout, without its classifier: MoCo v3, torchvision weights."""

import torch
from torch import Tensor
from torchvision.models.resnet import Bottleneck, ResNet


class ResNet50(ResNet):
    """The trunk; takes normalised images. Features are the averages over the last stage, d = 2048, before any projection head."""

    dimension = 2048

    def __init__(self) -> None:
        super().__init__(Bottleneck, [3, 4, 6, 3])
        del self.fc, self.avgpool

    def maps(self, x: Tensor) -> list[Tensor]:
        """The stem's map before its max-pool, (n, 64, h / 2, w / 2), and each stage's, the last (n, 2048, h / 32, w / 32)."""
        stem = self.relu(self.bn1(self.conv1(x)))
        maps = [stem, self.layer1(self.maxpool(stem))]
        for stage in (self.layer2, self.layer3, self.layer4):
            maps.append(stage(maps[-1]))
        return maps

    def pool(self, last: Tensor) -> Tensor:
        """The last map to features, (n, 2048, ...) -> (n, 2048)."""
        return last.mean((2, 3), dtype=torch.float32 if last.dtype == torch.bfloat16 else None)  # as in resnet.py

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, 2048)."""
        return self.pool(self.maps(x)[-1])
