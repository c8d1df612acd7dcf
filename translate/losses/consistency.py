"""Losses that need a second pass over a batch: with other dropout, cut embeddings or embeddings moved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from translate.batch import Batch
from translate.errors import require_share
from translate.losses.auxiliary import AuxiliaryLossConfig
from translate.losses.cross_entropy import kl_divergence, label_smoothed_cross_entropy
from translate.models.seq2seq import EmbeddingNoise, Output, Seq2Seq


@dataclass(kw_only=True)
class RDropConfig(AuxiliaryLossConfig):
    """Cross entropy of a second pass with other dropout, plus alpha times the mean of both KL divergences of the two.

    Liang et al. 2021, "R-Drop"; alpha is 5 there for translation.
    """

    alpha: float = 5.0


@dataclass(kw_only=True)
class SimCutConfig(AuxiliaryLossConfig):
    """KL divergence of the prediction from embeddings of which a share `cut` of tokens is zeroed whole.

    Gao et al. 2022, "Bi-SimCut"; weight is 3 and cut 0.05 there for small data.
    """

    weight: float = 3.0
    cut: float = 0.05

    def check(self, key: str) -> None:
        super().check(key)
        require_share(f"{key}.cut", self.cut)


@dataclass(kw_only=True)
class AdversarialConfig(AuxiliaryLossConfig):
    """Cross entropy with the embeddings of each side of a pair moved by `distance` along their gradient.

    Miyato et al. 2017, "Adversarial Training Methods for Semi-Supervised Text Classification".
    """

    distance: float = 1.0


def r_drop(config: RDropConfig, model: Seq2Seq, batch: Batch, output: Output) -> Tensor:
    again = model(batch)  # in training: other dropout masks
    pairs = ((output, again), (again, output))
    divergence = sum(kl_divergence(p.hidden, q.hidden, p.weight, batch.labels) for p, q in pairs) / 2
    # the first pass's cross entropy is the main loss already
    return _cross_entropy(again, batch) + config.alpha * divergence


def sim_cut(config: SimCutConfig, model: Seq2Seq, batch: Batch, output: Output) -> Tensor:
    share = config.cut

    def cut(embedded: Tensor, start: int) -> Tensor:
        return embedded * (torch.rand(embedded.shape[:-1], device=embedded.device) >= share).unsqueeze(-1)

    disturbed = model(batch, embedding_noise=EmbeddingNoise(cut, cut))
    return kl_divergence(output.hidden, disturbed.hidden, output.weight, batch.labels)


def adversarial(config: AdversarialConfig, model: Seq2Seq, batch: Batch, output: Output) -> Tensor:
    # the gradient by a move of zero is the gradient by the embeddings
    sizes = [(*side.ids.shape, model.projection.in_features) for side in (batch.source, batch.target)]
    # of the embeddings' type: output.weight may be a cast
    embeddings = model.target_embedding.tokens.weight
    zeros = [embeddings.new_zeros(size).requires_grad_() for size in sizes]
    # with one mask for both passes: the gradient must be that of the loss that the move raises
    with _same_dropout(batch.labels.device):
        loss = _cross_entropy(model(batch, embedding_noise=_moves(*zeros)), batch)
        gradients = torch.autograd.grad(loss, zeros)
    # constants: the move itself is not differentiated
    moves = [config.distance * _normalised(gradient) for gradient in gradients]
    return _cross_entropy(model(batch, embedding_noise=_moves(*moves)), batch)


def _moves(source: Tensor, target: Tensor) -> EmbeddingNoise:
    """Noise that adds (B, S, D) to the source embeddings and (B, T, D) to the target embeddings."""
    return EmbeddingNoise(
        lambda embedded, start: embedded + source.narrow(1, start, embedded.shape[1]),
        lambda embedded, start: embedded + target.narrow(1, start, embedded.shape[1]),
    )


def _normalised(gradient: Tensor) -> Tensor:
    """The gradient (B, L, D) of each sentence divided by its length."""
    return gradient / gradient.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None]


@contextmanager
def _same_dropout(device: torch.device) -> Iterator[None]:
    """Restore the random state on exit, so that the next pass repeats the dropout of this one."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    cpu = torch.get_rng_state()
    yield
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state(cuda, device)


def _cross_entropy(output: Output, batch: Batch) -> Tensor:
    return label_smoothed_cross_entropy(output.hidden, output.weight, batch.labels, smoothing=0.0)[0]
