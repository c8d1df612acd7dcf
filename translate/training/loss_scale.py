"""Scaling of the loss in fp16, whose smallest numbers are larger than many gradients."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

FIRST_SCALE, LARGEST_SCALE = 2.0**16, 2.0**24
GROWTH_INTERVAL = 2000  # finite updates in a row after which the loss scale is doubled


class LossScale:
    """Factor of the loss, and so of every gradient until it is unscaled: as large as fp16 allows.

    The smallest number of fp16 is 6e-8, and many gradients are smaller (Micikevicius et al. 2018, section 3.2). The
    factor is halved after an update whose gradient is not finite, and doubled after many finite ones. It is equal on
    all processes, since their gradients are; nothing here waits for a GPU.

    factor  (), fp32
    finite  (), int32: finite updates since the factor changed
    """

    def __init__(self, device: torch.device):
        self.factor = torch.full((), FIRST_SCALE, device=device)
        self.finite = torch.zeros((), dtype=torch.int32, device=device)

    def unscale(self, parameters: Iterable[nn.Parameter]) -> None:
        """Divide the gradients by the factor; infinities and NaN stay."""
        # the factor is a power of two, so that the reciprocal and the products are exact
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_mul_(gradients, self.factor.reciprocal())

    def update(self, found_inf: Tensor) -> None:
        """Adapt the factor after an update; found_inf (), fp32: 1 if its gradient was not finite."""
        overflowed, finite = found_inf > 0, self.finite + 1
        grows = ~overflowed & (finite >= GROWTH_INTERVAL)
        # selected on the device: an if would wait for it
        change = torch.where(overflowed, 0.5, torch.where(grows, 2.0, 1.0))
        # in place: a recorded update reads and writes these very tensors
        self.factor.copy_((self.factor * change).clamp(max=LARGEST_SCALE))
        # counted anew from each change, so that one overflow costs a whole interval
        self.finite.copy_(torch.where(overflowed | grows, 0, finite))

    def state_dict(self) -> dict[str, float]:
        return {"factor": float(self.factor), "finite": int(self.finite)}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.factor.fill_(state["factor"])
        self.finite.fill_(int(state["finite"]))
