"""TGDA-input, total gradient descent ascent (Lu et al., 2022; paper, section 3.2, eqs. 6 and 7) on the
poisons of a linear head.

l1 is the loss on held-out clean rows, l2 the mean loss on the other clean rows and the poisons. Between two
steps of the poisons the head takes some gradient steps on l2. The poisons ascend along the total derivative

    D l1 = - grad_{omega nu} l2 . (grad_{omega omega} l2 + damping I)^-1 . grad_omega l1,

which with q = (H + damping I)^-1 grad_omega l1 is -1/rows times the gradient of <q, head_gradient(z)> in z
(softmax.feature_gradient). H is positive definite only with damping: adding one vector to every class's
weights changes nothing. The system is solved in closed form, by conjugate gradients with one product an
iteration, or densely; squaring H, as public code does, squares its condition number.
"""

import math
from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from featpoison import softmax
from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.image_poisons import move_images, random_start
from featpoison.attacks.input_space import InputSpace
from featpoison.attacks.operations import Sizes, Work, hessian_product, input_space_work
from featpoison.common.seeds import stream
from featpoison.downstream.stored_heads import read_clean_head
from featpoison.downstream.task import read_task
from featpoison.softmax import Head
from featpoison.solvers import conjugate_gradients
from featpoison.solvers.conjugate_gradients import Solution


class TGDAInput(InputSpace):
    """Settings of TGDA-input."""

    epochs: PositiveInt = 200
    """Steps of the poisons (the attack's authors: 200)."""
    head_steps: PositiveInt = 20
    """Steps of the head between two steps of the poisons (the attack's authors: 20)."""
    head_step_size: PositiveFloat = 0.1
    """Their size, on the mean loss (the attack's authors: 0.1)."""
    validation_share: float = Field(0.3, gt=0, lt=1)
    """Share of the clean rows held out for l1 (paper: 70/30)."""
    split_seed: NonNegativeInt = 0
    """Seed of the split."""
    damping: PositiveFloat = 1e-6
    """Added to the eigenvalues of H, the Hessian of a mean. It turns q away from the undamped direction where
    it is not far below them, and on real features most are small: three quarters of the demo's are below
    1e-3. The cosine of q with the direction of H's pseudo-inverse, at the demo's clean head, is 0.75 (encoder
    of CIFAR-10) and 0.80 (of Tiny-ImageNet) at a damping of 1e-3, 0.94 and 0.96 at 1e-4, 0.997 and 0.999 at
    1e-5, and 0.9999 for both at 1e-6, which is also the ridge of the converged victim."""
    solver: Literal["conjugate-gradient", "dense"] = "conjugate-gradient"
    """How the damped system is solved; dense needs 8 (C (d+1))^2 bytes."""
    tolerance: PositiveFloat = 1e-3
    """Relative residual at which conjugate gradients stop."""
    iterations: PositiveInt = 500
    """Most of them for one step; the demo's features take 280. The product's `worst_solver_residual` says
    what was reached."""


def split(count: int, settings: TGDAInput) -> tuple[Tensor, Tensor]:
    """Sorted rows of l2's clean part and of l1."""
    order = torch.randperm(count, generator=stream(settings.split_seed, device=torch.device("cpu")))
    held_out = round(settings.validation_share * count)
    return order[held_out:].sort().values, order[:held_out].sort().values


def solve_damped(
    X: Tensor, head: Head, b: Tensor, settings: TGDAInput, start: Tensor | None = None
) -> Solution:
    """(H + damping I)^-1 b, (C, d+1), H the Hessian of the mean loss over the rows of X (n, d)."""
    if settings.solver == "dense":
        H = softmax.hessian(X, head) / len(X)
        H.diagonal().add_(settings.damping)
        x = torch.cholesky_solve(b.reshape(-1, 1), torch.linalg.cholesky(H)).view_as(b)
        return Solution(x, (b - (H @ x.flatten()).view_as(b)).norm() / b.norm(), 0)
    P = softmax.probabilities(X, head)

    def product(vector: Tensor) -> Tensor:
        return softmax.hessian_vector_product(X, head, vector, P=P) / len(X) + settings.damping * vector

    return conjugate_gradients.solve(
        product, b, tolerance=settings.tolerance, iterations=settings.iterations, start=start
    )


class TotalGradient:
    """The objective -l1, l1 summed over the held-out rows, with a head that descends between the steps of the
    poisons."""

    comparable = False  # the head still descends, whatever the poisons do

    def __init__(
        self, clean: tuple[Tensor, Tensor], poisons: tuple[Tensor, Tensor], head: Head, settings: TGDAInput
    ) -> None:
        """`clean` and `poisons` are features (N, d), (n, d) with labels (N,), (n,); the head starts at
        `head`."""
        X, y = clean
        kept, held_out = (rows.to(X.device) for rows in split(len(X), settings))
        self.mixed = torch.cat([X[kept], poisons[0]])  # the poisons' rows, last, follow their features
        self.labels = torch.cat([y[kept], poisons[1]])
        self.validation, self.validation_labels = X[held_out], y[held_out]
        self.first_poison, self.settings = len(kept), settings
        self.omega, self.q = head.omega, torch.zeros_like(head.omega)
        self.worst_residual = 0.0

    def gradient(self, block: slice, features: Tensor) -> Tensor:
        """-D l1 in the features of the rows in `block`; the first block of a pass lets the head descend and
        solves for q."""
        rows = slice(self.first_poison + block.start, self.first_poison + block.stop)
        self.mixed[rows] = features
        if block.start == 0:
            self._let_head_descend_and_solve_for_q()
        return softmax.feature_gradient(features, self.labels[rows], self.head, self.q) / len(self.mixed)

    @property
    def head(self) -> Head:
        """The head as it is now."""
        return Head.from_omega(self.omega)

    def _let_head_descend_and_solve_for_q(self) -> None:
        for _ in range(self.settings.head_steps):
            gradient = softmax.head_gradient(self.mixed, self.labels, self.head) / len(self.mixed)
            self.omega = self.omega - self.settings.head_step_size * gradient
        l1_gradient = softmax.head_gradient(self.validation, self.validation_labels, self.head)
        found = solve_damped(self.mixed, self.head, l1_gradient, self.settings, start=self.q)
        self.q = found.x
        self.worst_residual = max(self.worst_residual, found.relative_residual.max().item())

    def value(self) -> float:
        """-l1 at the head as it is now."""
        return -softmax.loss(self.validation, self.validation_labels, self.head).item()

    def state(self) -> dict[str, Tensor]:
        """The head, the last solution, the features."""
        return {
            "omega": self.omega,
            "q": self.q,
            "mixed": self.mixed,
            "worst_residual": torch.tensor(self.worst_residual, dtype=torch.float64),
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """All of these from `state`."""
        self.omega, self.q, self.mixed = (state[name].to(self.mixed) for name in ("omega", "q", "mixed"))
        self.worst_residual = state["worst_residual"].item()


def run(given: Run) -> Made:
    """Images, encoder, feature cache, clean heads -> poison images. The simulated head starts at the clean
    one."""
    task = read_task(given.files["features"])
    start = random_start(task, given)
    clean = task.train.to(given.device), task.train_labels.to(given.device)
    head = read_clean_head(given.files["clean"]).to(given.device)
    objective = TotalGradient(clean, (start.features, start.labels), head, given.settings)
    made = move_images(given, start, objective, threshold=-math.inf)
    found = {"damping": given.settings.damping, "worst_solver_residual": objective.worst_residual}
    return Made(made.arrays, made.facts | found)


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """All epochs, with the head's steps and the most conjugate gradients of each."""
    products = settings.head_steps + settings.iterations
    step = products * hessian_product(sizes.train + n, sizes.features, sizes.classes)
    return input_space_work(sizes, n, settings.epochs, step)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The features twice; images, their features, moments and gradients."""
    return sizes.held(n, features=4, poisons=8, poisoned=8)


ATTACK = Attack(
    name="tgda-input",
    title="TGDA-input",
    makes="images",
    settings=TGDAInput,
    needs=("images", "encoder", "features", "clean"),
    run=run,
    work=work,
    memory=memory,
    tint="input",
    sets=("free", "constrained"),
)
