"""Losses that read a batch again, disturbed, and ask for the same prediction or the same translation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from translate.batch import Batch
from translate.losses.auxiliary_config import AuxiliaryConfig
from translate.losses.cross_entropy import label_smoothed_cross_entropy
from translate.losses.divergence import kullback_leibler
from translate.models.seq2seq import Output, Seq2Seq


@dataclass(kw_only=True)
class RDropConfig(AuxiliaryConfig):
    """Cross entropy of a second pass with other dropout, and alpha times the mean of both divergences between the two.

    Liang et al. 2021, "R-Drop"; alpha is 5 there for translation.
    """

    alpha: float = 5.0


@dataclass(kw_only=True)
class SimCutConfig(AuxiliaryConfig):
    """KL between the prediction and that from embeddings of which a share of tokens is cut (zeroed whole).

    Gao et al. 2022, "Bi-SimCut"; weight is 3 and cut 0.05 there for small data.
    """

    weight: float = 3.0
    cut: float = 0.05


@dataclass(kw_only=True)
class AdversarialConfig(AuxiliaryConfig):
    """Cross entropy with the embeddings of each sentence moved along its own gradient, so far as distance says.

    Miyato et al. 2017, "Adversarial Training Methods for Semi-Supervised Text Classification". (A recurrent model with
    input feeding embeds target tokens one by one: each is moved so far.)
    """

    distance: float = 1.0


def r_drop(config: RDropConfig, model: Seq2Seq, batch: Batch, output: Output) -> Tensor:
    again = model(batch)
    pairs = ((output, again), (again, output))
    divergence = sum(kullback_leibler(p.hidden, q.hidden, p.weight, batch.labels) for p, q in pairs) / 2
    return _cross_entropy(again, batch) + config.alpha * divergence


def sim_cut(config: SimCutConfig, model: Seq2Seq, batch: Batch, output: Output) -> Tensor:
    def cut(embedded: Tensor) -> Tensor:
        return embedded * (torch.rand(embedded.shape[:-1], device=embedded.device) >= config.cut).unsqueeze(-1)

    with _embeddings_through(model, cut):
        disturbed = model(batch)
    return kullback_leibler(output.hidden, disturbed.hidden, output.weight, batch.labels)


def adversarial(config: AdversarialConfig, model: Seq2Seq, batch: Batch, output: Output) -> Tensor:
    embedded: list[Tensor] = []

    def remember(x: Tensor) -> Tensor:
        embedded.append(x)
        return x

    with _same_dropout(batch.labels.device), _embeddings_through(model, remember):
        gradients = list(torch.autograd.grad(_cross_entropy(model(batch), batch), embedded))
    moves = iter(_along(gradients, config.distance))
    with _embeddings_through(model, lambda x: x + next(moves)):
        return _cross_entropy(model(batch), batch)


def _along(gradients: Sequence[Tensor], distance: float) -> list[Tensor]:
    """Steps of that length along each sentence's gradient, (B, …, D)."""
    lengths = [gradient.flatten(1).norm(dim=1).clamp(min=1e-12) for gradient in gradients]
    return [
        distance * gradient / length.view(-1, *[1] * (gradient.dim() - 1))
        for gradient, length in zip(gradients, lengths, strict=True)
    ]


@contextmanager
def _same_dropout(device: torch.device) -> Iterator[None]:
    """What follows draws the random numbers that the inside has drawn."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    cpu = torch.get_rng_state()
    yield
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state(cuda, device)


@contextmanager
def _embeddings_through(model: Seq2Seq, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside, what the model's embeddings give is changed, in the order in which they are asked."""

    def hook(module: nn.Module, arguments: Any, embedded: Tensor) -> Tensor:
        return change(embedded)

    handles = [side.register_forward_hook(hook) for side in (model.source_embedding, model.target_embedding)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _cross_entropy(output: Output, batch: Batch) -> Tensor:
    return label_smoothed_cross_entropy(output.hidden, output.weight, batch.labels, smoothing=0.0)[0]
