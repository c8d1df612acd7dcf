"""torch.nn.Transformer in a plain loop: batches of similar lengths, or random ones ({"by_length": false})."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.corpus import Corpus, PlainBatch, endless_batches
from benchmarks.protocol import Channel, Slices
from benchmarks.work import PAD, TrainingWork
from translate.models.layers import sinusoids

_WARMUP_UPDATES = 3
_MAX_LENGTH = 512


class PlainTransformer(nn.Module):
    """PyTorch's own Transformer (pre-norm, like ours), with tied and scaled embeddings and sinusoidal positions."""

    def __init__(self, work: TrainingWork):
        super().__init__()
        self.embedding = nn.Embedding(work.vocab_size, work.d_model, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=work.d_model**-0.5)
        self.dropout = nn.Dropout(work.dropout)
        self.transformer = nn.Transformer(
            work.d_model,
            work.num_heads,
            work.layers,
            work.layers,
            work.ffn_dim,
            work.dropout,
            batch_first=True,
            norm_first=True,
        )
        self.positions = nn.Buffer(sinusoids(_MAX_LENGTH, work.d_model))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        length = target.shape[1]
        padded = source == PAD
        hidden = self.transformer(
            self._embed(source),
            self._embed(target),
            tgt_mask=torch.ones(length, length, dtype=torch.bool, device=target.device).triu(1),
            src_key_padding_mask=padded,
            memory_key_padding_mask=padded,
            tgt_is_causal=True,
        )
        return F.linear(hidden, self.embedding.weight)

    def _embed(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids) * math.sqrt(self.embedding.embedding_dim)
        return self.dropout(x + self.positions[: ids.shape[1]])


def main() -> None:
    channel = Channel()
    by_length = channel.settings.pop("by_length", True)
    work = TrainingWork(**channel.settings)
    torch.set_num_threads(work.threads)
    torch.manual_seed(work.seed)
    corpus = Corpus.load(work.corpus)
    model = PlainTransformer(work).to(work.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=work.learning_rate, betas=(0.9, 0.98), eps=1e-9)
    slices = Slices(channel, warmup=_WARMUP_UPDATES, versions=f"torch {torch.__version__}")
    for batch in endless_batches(corpus, tokens=work.tokens, by_length=by_length, seed=work.seed):
        update(model, optimizer, batch, work)
        if not slices.after_update(batch.target_tokens):
            return


def update(model: nn.Module, optimizer: torch.optim.Optimizer, batch: PlainBatch, work: TrainingWork) -> float:
    """The loop of a tutorial; the loss, in nats per token."""
    source, target, labels = (
        torch.from_numpy(side).to(work.device) for side in (batch.source, batch.target, batch.labels)
    )
    with torch.autocast(work.device, dtype=torch.bfloat16, enabled=work.precision == "bf16"):
        logits = model(source, target)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=work.label_smoothing)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), work.clip_norm)
    optimizer.step()
    return loss.item()


if __name__ == "__main__":
    main()
