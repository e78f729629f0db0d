"""Slow and plain twins of fast code: what the formulas say, by automatic differentiation and loops."""

import torch
import torch.nn.functional as F
from featpoison.softmax import Head
from torch import Tensor


def summed_loss(X: Tensor, labels: Tensor, omega: Tensor) -> Tensor:
    return F.cross_entropy(X @ omega[:, :-1].T + omega[:, -1], labels, reduction="sum")


def head_gradient(X: Tensor, labels: Tensor, head: Head, create_graph: bool = False) -> Tensor:
    omega = head.omega.detach().requires_grad_(True)
    return torch.autograd.grad(summed_loss(X, labels, omega), omega, create_graph=create_graph)[0]


def canceling_step(X: Tensor, labels: Tensor, head: Head, clean_gradient: Tensor) -> tuple[Tensor, Tensor]:
    """By double backward, as public code does it."""
    X = X.detach().requires_grad_(True)
    loss = 0.5 * (clean_gradient + head_gradient(X, labels, head, create_graph=True)).square().sum()
    return loss.detach(), torch.autograd.grad(loss, X)[0]


def hessian(X: Tensor, labels: Tensor, head: Head) -> Tensor:
    shape = head.omega.shape
    return torch.autograd.functional.hessian(
        lambda flat: summed_loss(X, labels, flat.view(shape)), head.omega.flatten()
    )


def feature_matching(zeta: Tensor, base: Tensor, encoder, settings, beta: float) -> Tensor:
    """Algorithm 1 of the paper, image by image, with autograd through the unfolded encoder."""
    import math

    results = []
    for z, mu in zip(zeta, base, strict=True):
        nu = mu.clone()
        for step in range(settings.steps):
            eta = settings.step_size * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
            leaf = nu.clone().requires_grad_(True)
            objective = settings.gamma / 2 * (encoder(leaf[None])[0] - z).square().sum()
            nu = nu - eta * torch.autograd.grad(objective, leaf)[0]
            nu = (nu + eta * beta * mu) / (1 + eta * beta)
        results.append(nu.detach())
    return torch.stack(results)


def accelerated_matching(z: Tensor, mu: Tensor, encoder, settings, beta: float) -> Tensor:
    """FISTA for one image (Beck and Teboulle, 2009, section 4, for F = f + g with g the term of beta),
    restarted by the gradient scheme (O'Donoghue and Candes, 2015, section 3.2); the lowest point counts.

    Where F rises to 1.1 times the lowest, it starts again from there with half the step."""
    import math

    x, y, t, eta = mu.clone(), mu.clone(), 1.0, settings.step_size
    best, lowest = mu, math.inf
    for _ in range(settings.steps):
        leaf = y.clone().requires_grad_(True)
        f = settings.gamma / 2 * (encoder(leaf[None])[0] - z).square().sum()
        F = f.item() + beta / 2 * (y - mu).square().sum().item()
        if 1.1 * lowest < F:
            x, y, t, eta = best, best, 1.0, eta / 2
            continue
        if lowest > F:
            best, lowest = y, F
        forward = y - eta * torch.autograd.grad(f, leaf)[0]
        new = (forward + eta * beta * mu) / (1 + eta * beta)
        if ((y - new) * (new - x)).sum() > 0:
            x, y, t = new, new, (1 + math.sqrt(5)) / 2
            continue
        following = (1 + math.sqrt(1 + 4 * t * t)) / 2
        y = new + (t - 1) / following * (new - x)
        x, t = new, following
    return best.detach()


def ms_ssim(first: Tensor, second: Tensor, settings) -> Tensor:
    """MS-SSIM of one pair of images (channels, h, w) with even sides, window by window."""
    side = torch.arange(settings.window, dtype=first.dtype) - (settings.window - 1) / 2
    line = torch.exp(-(side**2) / (2 * settings.sigma**2))
    window = torch.outer(line, line) / line.sum() ** 2
    weights = torch.tensor((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)[: settings.levels], dtype=first.dtype)
    weights = weights / weights.sum()
    channels = []
    for pair in zip(first, second, strict=True):
        x, y = pair
        product = 1.0
        for level in range(settings.levels):
            structure, whole = [], []
            for top in range(x.shape[0] - settings.window + 1):
                for left in range(x.shape[1] - settings.window + 1):
                    a, b = (
                        image[top : top + settings.window, left : left + settings.window] for image in (x, y)
                    )
                    ma, mb = (window * a).sum(), (window * b).sum()
                    va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
                    cs = (2 * (window * (a - ma) * (b - mb)).sum() + 0.03**2) / (va + vb + 0.03**2)
                    structure.append(cs)
                    whole.append(cs * (2 * ma * mb + 0.01**2) / (ma**2 + mb**2 + 0.01**2))
            mean = torch.stack(whole if level == settings.levels - 1 else structure).mean()
            product = product * mean.clamp(min=0) ** weights[level]
            x, y = (image.reshape(image.shape[0] // 2, 2, -1, 2).mean((1, 3)) for image in (x, y))
        channels.append(product)
    return torch.stack(channels).mean()


def error_minimising_noise(network, images: Tensor, labels: Tensor, noise: Tensor, settings) -> Tensor:
    """The noise steps of EMN's authors: images are clipped in every step, the noise that is kept is not."""
    radius, step = settings.radius / 255, settings.step_size / 255
    shown = (images + noise).clamp(0, 1)
    for _ in range(settings.steps):
        leaf = shown.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(F.cross_entropy(network.eval()(leaf), labels), leaf)
        noise = (shown - step * gradient.sign() - images).clamp(-radius, radius)
        shown = (images + noise).clamp(0, 1)
    return noise
