"""Models of the same sizes in other libraries, for comparison: torch.nn.Transformer and, if installed, Hugging Face.

Both are trained in the usual way: padded batches of sentences of similar lengths, autocast, PyTorch's cross entropy of
all logits, fused AdamW, eager mode. If our feed-forward layers are gated, with three matrices instead of two, theirs
are half again as wide, so that both have about the same number of parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.batch import NO_TARGET, Batch, pad_batch
from translate.models.layers import sinusoids
from translate.models.transformer_config import Activation, TransformerConfig
from translate.tokenizer import BOS, EOS, PAD

_ROUNDING = 64  # feed-forward widths are multiples of this
_CLIP_NORM, _SMOOTHING = 1.0, 0.1


class PlainTransformer(nn.Module):
    """torch.nn.Transformer (pre-norm, ReLU) with tied and scaled embeddings and sinusoidal positions."""

    positions: Tensor

    def __init__(self, config: TransformerConfig, vocabulary: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, config.d_model, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=config.d_model**-0.5)
        self.transformer = nn.Transformer(
            config.d_model,
            config.num_heads,
            config.encoder_layers,
            config.decoder_layers,
            ffn_width(config),
            config.dropout,
            batch_first=True,
            norm_first=True,
        )
        self.register_buffer("positions", sinusoids(config.max_length, config.d_model), persistent=False)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits (B, T, V) of source (B, S) and target (B, T)."""
        length, padding = target.shape[1], source == PAD
        hidden = self.transformer(
            self._embed(source),
            self._embed(target),
            tgt_mask=torch.ones(length, length, dtype=torch.bool, device=target.device).triu(1),
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
            tgt_is_causal=True,
        )
        return F.linear(hidden, self.embedding.weight)

    def _embed(self, ids: Tensor) -> Tensor:
        return self.embedding(ids) * math.sqrt(self.embedding.embedding_dim) + self.positions[: ids.shape[1]]


class HuggingFaceMarian(nn.Module):
    """MarianMTModel of the library transformers, with random weights."""

    def __init__(self, config: TransformerConfig, vocabulary: int):
        super().__init__()
        import transformers

        sizes = {"encoder": config.encoder_layers, "decoder": config.decoder_layers}
        settings = {f"{side}_layers": layers for side, layers in sizes.items()}
        settings |= {f"{side}_attention_heads": config.num_heads for side in sizes}
        settings |= {f"{side}_ffn_dim": ffn_width(config) for side in sizes}
        special = {"pad_token_id": PAD, "eos_token_id": EOS, "decoder_start_token_id": BOS, "forced_eos_token_id": None}
        self.model = transformers.MarianMTModel(
            transformers.MarianConfig(
                vocab_size=vocabulary,
                d_model=config.d_model,
                max_position_embeddings=config.max_length,
                dropout=config.dropout,
                scale_embedding=True,
                activation_function="relu",
                **settings,
                **special,
            )
        )

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits (B, T, V) of source (B, S) and target (B, T)."""
        logits = self.model(input_ids=source, attention_mask=source != PAD, decoder_input_ids=target).logits
        assert isinstance(logits, Tensor)
        return logits


# name -> constructor of a configuration and a vocabulary size; raises ImportError if the library is missing
PEERS: dict[str, Callable[[TransformerConfig, int], nn.Module]] = {
    "torch.nn.Transformer": PlainTransformer,
    "Hugging Face Marian": HuggingFaceMarian,
}


def ffn_width(config: TransformerConfig) -> int:
    """Width of ungated feed-forward layers with about as many parameters as the model's."""
    if config.activation is not Activation.swiglu:
        return config.ffn_dim
    return max(1, round(config.ffn_dim * 3 / 2 / _ROUNDING)) * _ROUNDING


def of_similar_lengths(batches: Sequence[Batch]) -> list[Batch]:
    """Rearrange the pairs into the same number of padded batches, of similar lengths and about equally many tokens."""
    pairs = [pair for batch in batches for pair in zip(*batch.pairs(), strict=True)]
    pairs.sort(key=lambda pair: (len(pair[0]), len(pair[1])))
    counts = np.array([0, *accumulate(len(source) + len(target) + 2 for source, target in pairs)])
    # the pair at which each batch begins
    edges = np.searchsorted(counts, np.linspace(0, counts[-1], len(batches) + 1))
    parts = [pairs[first:last] for first, last in pairwise(edges.tolist()) if first < last]
    return [pad_batch([source for source, _ in part], [target for _, target in part]) for part in parts]


def plain_updates(model: nn.Module, device: torch.device, dtype: torch.dtype | None) -> Callable[[Batch], None]:
    """A function that trains another library's model on a padded batch; dtype: of autocast, None without."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def update(batch: Batch) -> None:
        batch = batch.to(device)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            logits = model(batch.source.ids, batch.target.ids)
            labels = batch.labels.flatten()
            loss = F.cross_entropy(logits.flatten(0, 1), labels, label_smoothing=_SMOOTHING, ignore_index=NO_TARGET)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), _CLIP_NORM)
        optimizer.step()

    return update
