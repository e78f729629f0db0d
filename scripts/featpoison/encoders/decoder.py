"""Decoders take features back to images.

They are built like U-Nets (Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597) after
github.com/mkisantal/backboned-unet. The feature vector zeta becomes the deepest map. Each block then goes up
to the size of the next earlier map of the encoder; with skip connections (`skip`) it reads that map, too. A
last convolution gives the pixels of the image, several of them for each place where the stem's map is smaller
than the image (pixel shuffle). All sizes are those of the encoder's own maps, so that every encoder with
`maps` and `pool` has a decoder. The encoder's last map is never read: what the encoder knows beyond the
earlier maps reaches the decoder through zeta alone.
"""

import copy
import math
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from featpoison.common.settings import Settings
from featpoison.encoders.encoder import Encoder, fitting_weights, save_weights
from featpoison.encoders.trunk import EncoderError
from featpoison.records import seal
from featpoison.records.provenance import Record, canonical_json, of_product
from featpoison.records.seal import read_metadata

Kind = Literal["plain", "end-to-end", "skip"]


class DecoderLayout(Settings):
    """The description from which a decoder can be rebuilt, without its weights."""

    kind: Kind
    """`skip`: with skip connections, on the frozen encoder. `plain`: without them, on the frozen encoder.
    `end-to-end`: without them, with an encoder that is trained along."""
    dimension: PositiveInt
    """Number of features."""
    stages: tuple[tuple[PositiveInt, PositiveInt, PositiveInt], ...]
    """Channels, height and width of each of the encoder's maps, stem first."""
    image: tuple[PositiveInt, PositiveInt]
    """Height and width of the images in pixels."""
    channels: tuple[PositiveInt, ...]
    """Channels of the decoder: one number for each of the encoder's maps, deepest first."""


class Block(nn.Module):
    """Up to a size, joined with a skip connection where there is one, through two 3 x 3 convolutions."""

    def __init__(self, channels_in: int, channels_out: int, size: tuple[int, int]) -> None:
        """`channels_in` counts those of the skip connection, too; `size` is (height, width) of the result."""
        super().__init__()
        self.size = size
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """x (n, channels, h, w), and a skip connection where there is one -> (n, channels_out, *size)."""
        parts = [x] if skip is None else [x, skip.to(x.dtype)]
        x = torch.cat(
            [part if part.shape[2:] == self.size else F.interpolate(part, size=self.size) for part in parts],
            1,
        )
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)))


class Decoder(nn.Module):
    """Takes features, and the maps of a base image where it has skip connections, to images.

    The pixels are in (0, 1), by a sigmoid.
    """

    def __init__(self, layout: DecoderLayout) -> None:
        """The weights are untrained.

        Raises ValueError where `layout` has not one number of channels for each map.
        """
        super().__init__()
        channels, image = layout.channels, layout.image
        if len(channels) != len(layout.stages):
            raise ValueError(
                f"channels: {list(channels)}, expected {len(layout.stages)} numbers, "
                "one for each of the encoder's maps"
            )
        self.layout = layout
        deepest, *earlier = layout.stages[::-1]
        self.start = nn.Linear(layout.dimension, channels[0] * deepest[1] * deepest[2])
        added = [stage[0] if layout.kind == "skip" else 0 for stage in earlier]
        # no block is larger than the image: maps of an encoder that enlarges images may be
        sizes = [(min(stage[1], image[0]), min(stage[2], image[1])) for stage in earlier]
        self.blocks = nn.ModuleList(
            Block(before + more, after, size)
            for before, after, more, size in zip(channels[:-1], channels[1:], added, sizes, strict=True)
        )
        height, width = sizes[-1]
        self.scale = max(math.ceil(image[0] / height), math.ceil(image[1] / width))
        self.last = nn.Conv2d(channels[-1], 3 * self.scale**2, 3, 1, 1)

    def forward(self, zeta: Tensor, maps: list[Tensor]) -> Tensor:
        """Features (n, d) and the encoder's maps, which only `skip` reads -> images (n, 3, h, w).

        Images have the type of `zeta`.
        """
        layout = self.layout
        x = F.relu(self.start(zeta)).view(len(zeta), layout.channels[0], *layout.stages[-1][1:])
        for block, skip in zip(self.blocks, maps[-2::-1], strict=True):
            x = block(x, skip if layout.kind == "skip" else None)
        x = F.pixel_shuffle(self.last(x), self.scale)[:, :, : layout.image[0], : layout.image[1]]
        return torch.sigmoid(x.to(zeta.dtype))


class Autoencoder(nn.Module):
    """An encoder and its decoder.

    Only with `end-to-end` is the encoder trained along; otherwise it is frozen.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    @property
    def kind(self) -> Kind:
        """The kind of the decoder."""
        return self.decoder.layout.kind

    def forward(self, pixels: Tensor) -> Tensor:
        """Images (n, 3, h, w) in [0, 1] -> their reconstructions, of the same shape and range."""
        maps = self.encoder.maps(pixels)
        return self.decoder(self.encoder.pool(maps[-1]), maps)

    def learned(self) -> dict[str, Tensor]:
        """The tensors that training changes, by name.

        These are the decoder's, and those of an encoder that is trained along.
        """
        return {
            key: value
            for key, value in self.state_dict().items()
            if self.kind == "end-to-end" or key.startswith("decoder.")
        }

    def learn(self) -> "Autoencoder":
        """In place: what `learned` names is trained from now on. Returns the object itself.

        A frozen encoder stays in evaluation mode.
        """
        part = self if self.kind == "end-to-end" else self.decoder
        part.train().requires_grad_(True)
        return self

    def freeze(self) -> "Autoencoder":
        """In place: evaluation mode, and nothing is trained. Returns the object itself."""
        return self.eval().requires_grad_(False)


@torch.no_grad()
def stages_of(encoder: Encoder, height: int, width: int) -> tuple[tuple[int, int, int], ...]:
    """Channels, height and width of the maps that a frozen encoder makes of images of this size, stem first.

    Raises EncoderError where the architecture has no maps.
    """
    return tuple(
        (map_.shape[1], map_.shape[2], map_.shape[3])
        for map_ in encoder.maps(encoder.mean.new_zeros(1, 3, height, width))
    )


def build(
    encoder: Encoder, kind: Kind, image: tuple[int, int], channels: tuple[int, ...], seed: int = 0
) -> Autoencoder:
    """A decoder with the untrained weights of `seed` on a copy of the frozen `encoder`, on its device.

    It is made for images of (height, width) `image`; `channels` as in `DecoderLayout`. Where the copy of the
    encoder stays frozen, its BatchNorms are folded into convolutions, which saves a fifth of the training
    time. Raises EncoderError where the encoder has no maps, ValueError for another number of channels than of
    maps.
    """
    layout = DecoderLayout(
        kind=kind,
        dimension=encoder.dimension,
        stages=stages_of(encoder, *image),
        image=image,
        channels=channels,
    )
    own = copy.deepcopy(encoder) if kind == "end-to-end" else copy.deepcopy(encoder).fold_batchnorm()
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # module initialisation has no generator argument
        decoder = Decoder(layout)
    return Autoencoder(own, decoder.to(encoder.mean.device)).to(memory_format=torch.channels_last)


def save_decoder(path: Path, network: Autoencoder, provenance: Record, **facts: object) -> None:
    """Write what was learned, the layout, the provenance and further JSON `facts` to `path`.

    The file appears whole or not at all. Raises NotWritten where the disk is full.
    """
    weights = {key: value.detach().cpu().contiguous() for key, value in sorted(network.learned().items())}
    metadata = {
        "layout": network.decoder.layout.model_dump_json(),
        "provenance": canonical_json(of_product(provenance, path)),
    }
    save_weights(path, weights, metadata | {key: canonical_json(value) for key, value in facts.items()})


def load_decoder(path: Path, encoder: Encoder) -> Autoencoder:
    """The frozen decoder in `path` on a copy of the frozen `encoder` that it belongs to, on its device.

    With `end-to-end` the encoder's weights come from the file, too. Raises FileNotFoundError, WeightsError
    for a damaged file, and EncoderError for a file that holds no decoder, or one of an encoder with other
    maps.
    """
    metadata = read_metadata(path)
    if seal.SEALS[0] in metadata:  # only files of foreign making have no seal
        seal.verify(path)
    if "layout" not in metadata:
        raise EncoderError(f"{path}: no 'layout' in its metadata; expected a decoder of this project")
    layout = DecoderLayout.model_validate_json(canonical_json(metadata["layout"]))
    found = encoder.dimension, stages_of(encoder, *layout.image)
    if found != (layout.dimension, layout.stages):
        raise EncoderError(
            f"{path}: belongs to an encoder of {layout.dimension} features and maps {layout.stages}, "
            f"this one has {found[0]}, {found[1]}"
        )
    network = build(encoder, layout.kind, layout.image, layout.channels)
    network.load_state_dict(network.state_dict() | fitting_weights(path, network.learned()))
    return network.freeze()
