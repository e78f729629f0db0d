"""ResNet-18 (He et al., 2016, https://arxiv.org/abs/1512.03385) with the stem that is usual for CIFAR.

The stem is a 3 x 3 convolution without max-pool. `width` scales every layer (64 is usual), and a
`stem_stride` of 2 halves height and width once more; a thin network with this stride is fast enough for CPUs.
The features are the averages over the last stage, d = 8 width, before any projection head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STAGES = (1, 2, 4, 8)  # channels in units of the width
BLOCKS = 2  # basic blocks in each stage of a ResNet-18
FEW_CHANNELS = 16
"""With fewer channels than this, the gradient of a 1 x 1 convolution with a stride is not safe on CPUs:
oneDNN writes past the end of its memory (https://github.com/uxlfoundation/oneDNN/issues/6035)."""


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.downsample = nn.Sequential()
        # A 1 x 1 convolution with a stride only leaves out pixels, which can be done before it.
        self.spacing = stride if channels_in < FEW_CHANNELS else 1
        if stride != 1 or channels_in != channels_out:
            stride //= self.spacing
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(n, in, h, w) -> (n, out, h / stride, w / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        kept = x[..., :: self.spacing, :: self.spacing]
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(kept))


class CifarResNet18(nn.Module):
    """The trunk, which takes normalised images to features."""

    def __init__(self, width: int = 64, stem_stride: int = 1) -> None:
        super().__init__()
        self.dimension = STAGES[-1] * width
        self.conv1 = nn.Conv2d(3, width, 3, stem_stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        for index, factor in enumerate(STAGES, 1):
            blocks = []
            for block in range(BLOCKS):
                stride = 2 if index > 1 and block == 0 else 1
                blocks.append(BasicBlock(channels, factor * width, stride))
                channels = factor * width
            self.add_module(f"layer{index}", nn.Sequential(*blocks))

    def maps(self, x: Tensor) -> list[Tensor]:
        """The map of the stem and of each stage, in order.

        The first is (n, width, h / stem_stride, w / stem_stride), the last (n, d, h / (8 stem_stride), w / (8
        stem_stride)).
        """
        maps = [F.relu(self.bn1(self.conv1(x)))]
        for index in range(1, len(STAGES) + 1):
            maps.append(self.get_submodule(f"layer{index}")(maps[-1]))
        return maps

    def pool(self, last: Tensor) -> Tensor:
        """The last map to features, (n, d, ...) -> (n, d), the mean over places.

        A map in bfloat16 is averaged in float32: matching cannot get closer to a target than features are
        rounded.
        """
        return last.mean((2, 3), dtype=torch.float32 if last.dtype == torch.bfloat16 else None)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, d)."""
        return self.pool(self.maps(x)[-1])
