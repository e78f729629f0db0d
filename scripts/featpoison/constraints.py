"""Sets that poisons are kept in: each has `project`, the nearest point of the set."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class NormBall:
    """Rows (features) whose L2 norm is at most `radius`."""

    radius: float

    def project(self, rows: Tensor) -> Tensor:
        """(n, d) -> (n, d); shorter rows are untouched."""
        return rows * (self.radius / rows.norm(dim=1, keepdim=True)).clamp(max=1)
