"""What attacks count their work in: sizes of a task, floating-point operations, bytes.

n poisons, N training images, m test images, d features, C classes, F operations of one image's pass through
the encoder. A pass back to the pixels costs what the pass forward costs; one that also updates weights costs
twice that. Iterative work counts its most iterations, so an early stop makes a run cheaper than its plan.
"""

from dataclasses import dataclass

FLOAT_BYTES = 4
PEAK, DOUBLE_PEAK = 989e12, 67e12
"""Operations a second of one H100 or H200 in dense bf16 and in float64 (data sheet)."""
EFFICIENCY = 0.3
"""Assumed share of the peak."""
NEWTON_STEP_PRODUCTS = 40
"""Hessian-vector products of a step of the exact bilevel attack: two Newton steps and q, of a dozen each."""


@dataclass(frozen=True)
class Work:
    """Operations in the encoder's precision, operations in float64, and bytes written."""

    flops: float = 0.0
    double_flops: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        """Entry by entry."""
        return Work(
            self.flops + other.flops, self.double_flops + other.double_flops, self.bytes + other.bytes
        )

    def hours(
        self, peak: float = PEAK, double_peak: float = DOUBLE_PEAK, efficiency: float = EFFICIENCY
    ) -> float:
        """Hours of one GPU with these peaks, in operations a second, of which it reaches the share
        `efficiency`."""
        return (self.flops / peak + self.double_flops / double_peak) / efficiency / 3600


@dataclass(frozen=True)
class Sizes:
    """The sizes of a data set seen through an encoder."""

    train: int
    test: int
    side: int
    classes: int
    features: int
    forward: float
    """Operations of one image's pass through the encoder."""

    @property
    def image_bytes(self) -> int:
        """Of one image, float32."""
        return 3 * self.side**2 * FLOAT_BYTES

    @property
    def feature_bytes(self) -> int:
        """Of one row of features, float32."""
        return self.features * FLOAT_BYTES

    def held(
        self,
        n: float = 0,
        *,
        images: float = 0,
        features: float = 0,
        poisons: float = 0,
        poisoned: float = 0,
        perturbed: float | None = None,
    ) -> float:
        """Bytes of so many float32 copies: of the training images, of all clean features, of the n poison
        images, of the n poisons' features (float64 counts twice). `perturbed`: training images that are
        worked on, if not all.

        The numbers of copies are upper bounds, the largest of them measured (tests/costs/test_memory.py).
        """
        worked_on = self.train if perturbed is None else perturbed
        clean = (
            images * worked_on * self.image_bytes + features * (self.train + self.test) * self.feature_bytes
        )
        return clean + n * (poisons * self.image_bytes + poisoned * self.feature_bytes)


def canceling_step(n: float, d: int, classes: int) -> float:
    """Five products of n x d x C: S, (P - Y)^T Z, U, (P - Y) R, J W (`softmax.canceling_step`)."""
    return 10 * n * d * classes


def hessian_product(rows: float, d: int, classes: int) -> float:
    """Two products of rows x (d + 1) x C (`softmax.hessian_vector_product`); a gradient of the head costs the
    same."""
    return 4 * rows * (d + 1) * classes


def to_pixels_and_back(forward: float) -> float:
    """A pass through the encoder and a pass back to the pixels."""
    return 2 * forward


def training_pass(forward: float) -> float:
    """A pass through a network, and one back to its weights and its inputs."""
    return 3 * forward


def input_space_work(sizes: Sizes, n: float, epochs: int, step: float) -> Work:
    """An attack on images: `step` float64 operations beside the two passes of each image, in each epoch."""
    return Work(epochs * n * to_pixels_and_back(sizes.forward), epochs * step, n * sizes.image_bytes)
