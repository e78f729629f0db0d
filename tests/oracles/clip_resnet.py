"""CLIP's ModifiedResNet, written after the paper, with the tensor names of OpenAI's archives."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn


class Bottleneck(nn.Module):
    def __init__(self, channels_in, planes, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels_in, planes, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = nn.Conv2d(planes, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes)
        self.avgpool = nn.AvgPool2d(stride)
        self.downsample = None
        if stride > 1 or channels_in != 4 * planes:
            layers = [
                ("-1", nn.AvgPool2d(stride)),
                ("0", nn.Conv2d(channels_in, 4 * planes, 1, bias=False)),
                ("1", nn.BatchNorm2d(4 * planes)),
            ]
            self.downsample = nn.Sequential(OrderedDict(layers))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(self.avgpool(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class AttentionPool(nn.Module):
    def __init__(self, side, d, heads, d_out):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(side**2 + 1, d) / d**0.5)
        self.k_proj, self.q_proj, self.v_proj = (nn.Linear(d, d) for _ in range(3))
        self.c_proj = nn.Linear(d, d_out)
        self.heads = heads

    def forward(self, x):
        n = x.shape[0]
        x = x.flatten(2).transpose(1, 2)  # (n, places, d)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + self.positional_embedding
        q, k, v = (
            layer(x).reshape(n, x.shape[1], self.heads, -1).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        weights = (q[:, :, :1] @ k.transpose(2, 3) / k.shape[3] ** 0.5).softmax(3)  # the mean asks
        return self.c_proj((weights @ v).transpose(1, 2).reshape(n, -1))


class ImageEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        for index, (before, after, stride) in enumerate([(3, 32, 2), (32, 32, 1), (32, 64, 1)], 1):
            setattr(self, f"conv{index}", nn.Conv2d(before, after, 3, stride, 1, bias=False))
            setattr(self, f"bn{index}", nn.BatchNorm2d(after))
        self.avgpool = nn.AvgPool2d(2)
        channels = 64
        for index, (planes, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], 1):
            layer = [
                Bottleneck(
                    channels if block == 0 else 4 * planes, planes, 2 if index > 1 and block == 0 else 1
                )
                for block in range(blocks)
            ]
            setattr(self, f"layer{index}", nn.Sequential(*layer))
            channels = 4 * planes
        self.attnpool = AttentionPool(7, 2048, 32, 1024)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = self.avgpool(F.relu(self.bn3(self.conv3(x))))
        return self.attnpool(self.layer4(self.layer3(self.layer2(self.layer1(x)))))


class Clip(nn.Module):
    """The archive's outline: the image encoder, and of the text encoder a layer and the odd tensors."""

    def __init__(self, visual):
        super().__init__()
        self.visual = visual
        self.transformer = nn.Sequential(nn.Linear(4, 4))
        self.token_embedding, self.ln_final = nn.Embedding(5, 4), nn.LayerNorm(4)
        self.positional_embedding, self.text_projection = (
            nn.Parameter(torch.randn(6, 4)),
            nn.Parameter(torch.randn(4, 4)),
        )
        self.logit_scale = nn.Parameter(torch.ones([]))
        for name, value in (("input_resolution", 224), ("context_length", 6), ("vocab_size", 5)):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, image):
        return self.visual(image)
