"""The encoder-decoder Transformer (Vaswani et al. 2017), for training and for decoding step by step.

Letters: B sentences, K hypotheses of each, N = B * K, S and T source and target tokens, D width, V vocabulary. Packed
batches are (tokens, D): only attention.py depends on the layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.batch import Batch, Tokens
from translate.errors import UserError
from translate.models.attention import AttentionMask, CrossAttention, SelfAttention, make_attention_mask, make_norm
from translate.models.kv_cache import LayerCache, TransformerMemory, TransformerState
from translate.models.layers import Dropout, Positions, grouped_linear, joined_linear
from translate.models.prefixes import behind_prefixes, with_prefix, without_prefix
from translate.models.rotary import Rotary, Rotation
from translate.models.seq2seq import AttentionMaps, EmbeddingNoise, Output, Seq2Seq, Vocabularies
from translate.models.transformer_config import Activation, NormOrder, TransformerConfig
from translate.tokenizer import BOS

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    Activation.relu: F.relu,
    Activation.gelu: F.gelu,
    Activation.swish: F.silu,
}
_BIAS_FEATURES = 8  # a one and seven zeros: matrix units are fast with widths that are multiples of 8


class FeedForward(nn.Module):
    """Two linear layers with an activation between; SwiGLU gates it with a third (Shazeer 2020)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.activation = config.activation
        width = config.ffn_dim * (2 if self.activation is Activation.swiglu else 1)
        self.inner = nn.Linear(config.d_model, width, bias=config.bias)
        self.outer = nn.Linear(config.ffn_dim, config.d_model, bias=config.bias)
        self.dropout = Dropout(config.activation_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x (…, D); the result has the same shape."""
        x = self.inner(x)
        if self.activation is Activation.swiglu:
            gate, value = x.chunk(2, dim=-1)  # both from one product
            x = F.silu(gate) * value
        else:
            x = _ACTIVATIONS[self.activation](x)
        return self.outer(self.dropout(x))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each with a residual connection (Vaswani et al. 2017, figure 1 left)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.self_attention, self.feed_forward = SelfAttention(config), FeedForward(config)
        self.attention_norm, self.ffn_norm = make_norm(config), make_norm(config)
        self.dropout = Dropout(config.dropout)
        self.pre_norm = config.norm_order is NormOrder.pre

    def forward(
        self, x: Tensor, mask: AttentionMask, rotation: Rotation | None = None, *, return_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, S, D); returns the same shape, and with return_weights the attention weights (B, H, S, S)."""
        # pre-norm: the residual stream is not normalised, so that its gradient reaches every layer
        y = self.attention_norm(x) if self.pre_norm else x
        y, weights = self.self_attention(y, mask, rotation, return_weights=return_weights)
        x = self.dropout.add(x, y)
        if self.pre_norm:
            return self.dropout.add(x, self.feed_forward(self.ffn_norm(x))), weights
        x = self.attention_norm(x)
        return self.ffn_norm(self.dropout.add(x, self.feed_forward(x))), weights


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention and feed-forward (Vaswani et al. 2017, figure 1 right)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.self_attention, self.cross_attention = SelfAttention(config), CrossAttention(config)
        self.feed_forward = FeedForward(config)
        self.attention_norm, self.cross_norm, self.ffn_norm = (make_norm(config) for _ in range(3))
        self.dropout = Dropout(config.dropout)
        self.pre_norm = config.norm_order is NormOrder.pre

    def forward(
        self,
        x: Tensor,
        memory: tuple[Tensor, Tensor],
        self_mask: AttentionMask,
        cross_mask: AttentionMask,
        rotation: Rotation | None = None,
        *,
        cache: LayerCache | None = None,
        return_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """x (B, T, D); returns the same shape, and the weights of both attentions, (B, H, T, T) and (B, H, T, S).

        memory  keys and values of the source, by `cross_attention.project_memory`
        cache   None: x is the whole target, and self_mask is causal. Otherwise x has the newest token of each
                hypothesis: its keys and values are appended, and self_mask selects the cache entries that it sees
        """
        y = self.attention_norm(x) if self.pre_norm else x
        y, self_weights = self.self_attention(y, self_mask, rotation, cache=cache, return_weights=return_weights)
        x = self.dropout.add(x, y)
        if not self.pre_norm:
            x = self.attention_norm(x)
        y = self.cross_norm(x) if self.pre_norm else x
        y, cross_weights = self.cross_attention(y, memory, cross_mask, return_weights=return_weights)
        x = self.dropout.add(x, y)
        if self.pre_norm:
            return self.dropout.add(x, self.feed_forward(self.ffn_norm(x))), self_weights, cross_weights
        x = self.cross_norm(x)
        return self.ffn_norm(self.dropout.add(x, self.feed_forward(x))), self_weights, cross_weights


class Layers(nn.Module):
    """Layers of one side and, with pre-norm, a final norm of their residual stream."""

    def __init__(self, layers: Iterable[nn.Module], config: TransformerConfig):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = make_norm(config) if config.norm_order is NormOrder.pre else nn.Identity()


class Transformer(Seq2Seq):
    adapter_targets = ("output", "outer")

    def __init__(self, config: TransformerConfig, vocabularies: Vocabularies):
        super().__init__(config, vocabularies, config.positions)
        self.rotary = Rotary(config.head_width, config.max_positions) if config.positions is Positions.rotary else None
        self.max_positions = config.max_positions
        self.source_prefix, self.target_prefix = config.source_prefix, config.target_prefix
        _check_prefixes(config, vocabularies)
        self.has_int8 = config.attention == "softmax"
        self.cached_per_token = 2 * config.decoder_layers * config.d_model  # keys and values
        self.encoder = Layers((EncoderLayer(config) for _ in range(config.encoder_layers)), config)
        self.decoder = Layers((DecoderLayer(config) for _ in range(config.decoder_layers)), config)
        if config.output_bias:
            self.projection.bias = nn.Parameter(torch.zeros(vocabularies.target))
        if not config.scale_embeddings:
            self.source_embedding.scale = self.target_embedding.scale = 1.0
        self.init_weights(_init_linear)

    def forward(
        self, batch: Batch, *, return_attention: bool = False, embedding_noise: EmbeddingNoise | None = None
    ) -> Output:
        # the fast kernels return no weights: use others only in the layers whose weights are asked for
        last = len(self.decoder.layers) - 1
        source, noise = self._prefixed(batch.source, embedding_noise)
        encoded, _ = self._run_encoder(source, noise)
        return self._teacher_forced(batch, source, encoded, noise, weights_from=last if return_attention else None)[0]

    def forward_with_attention(self, batch: Batch) -> tuple[Output, AttentionMaps]:
        source, _ = self._prefixed(batch.source)
        encoded, maps = self._run_encoder(source, return_weights=True)
        output, decoder_maps = self._teacher_forced(batch, source, encoded, weights_from=0)
        ahead = len(self.source_prefix)
        return output, {"encoder": [without_prefix(x, ahead, ahead) for x in maps], **decoder_maps}

    def encode(self, source: Tokens, embedding_noise: EmbeddingNoise | None = None) -> TransformerMemory:
        source, noise = self._prefixed(source, embedding_noise)
        encoded, _ = self._run_encoder(source, noise)
        bias = make_attention_mask(source, source, causal=False).bias
        assert bias is not None, "search reads padded sentences"
        groups = grouped_linear([attention.key_value for attention in self._cross_attentions()], encoded)
        num_heads = self._cross_attentions()[0].num_heads
        return TransformerMemory.of(groups, bias, num_heads=num_heads, head_width=encoded.shape[-1] // num_heads)

    def start(self, memory: TransformerMemory) -> TransformerState:
        state = TransformerState.empty(memory)
        for token in self.target_prefix[:-1]:
            tokens = torch.full((len(memory.bias),), token, device=memory.bias.device)
            _, state = self._read(tokens, state)
        return state

    def step(self, tokens: Tensor, state: TransformerState) -> tuple[Tensor, TransformerState]:  # type: ignore[override]
        if self.target_prefix:
            tokens = tokens.masked_fill(tokens == BOS, self.target_prefix[-1])
        hidden, state = self._read(tokens, state)
        return self.projection(hidden), state  # (N, V)

    def _read(self, tokens: Tensor, state: TransformerState) -> tuple[Tensor, TransformerState]:
        """Read one more token (N,) of each hypothesis; hidden states (N, D)."""
        # finished sentences are decoded further until they leave the batch: keep their positions within the table
        positions = state.positions.clamp(max=self.max_positions - 1)
        tokens = tokens.unflatten(0, (-1, state.num_hypotheses))  # (B, K): hypotheses as tokens of one sentence
        x = self.embed_target(tokens, positions[:, None])  # (B, K, D)
        state.advance()  # makes the slots that the layers write into
        masks = AttentionMask(state.bias), AttentionMask(state.memory.bias)
        rotation, caches = self._rotation(positions[:, None]), state.cache.layers()
        hidden, _ = self._run_decoder(x, state.memory.layers, *masks, rotation, caches=caches)
        return hidden.flatten(0, 1), state

    def _teacher_forced(
        self,
        batch: Batch,
        source: Tokens,
        encoded: Tensor,
        noise: EmbeddingNoise | None = None,
        *,
        weights_from: int | None,
    ) -> tuple[Output, AttentionMaps]:
        """Run the decoder over the whole target.

        source        of the batch, with its prefix
        weights_from  index of the first decoder layer whose attention weights are returned; None: no weights
        """
        target = with_prefix(batch.target, self.target_prefix, dropped=1)
        x = self.embed_target(target.ids, target.positions, noise)
        self_mask = make_attention_mask(target, target, causal=True)
        cross_mask = make_attention_mask(target, source, causal=False)
        rotation = self._rotation(target.positions)
        memory = self._project(encoded)
        hidden, maps = self._run_decoder(x, memory, self_mask, cross_mask, rotation, weights_from=weights_from)
        if ahead := len(self.target_prefix[1:]):
            hidden = hidden[:, ahead:]
        maps = {
            "decoder": [without_prefix(x, ahead, ahead) for x in maps["decoder"]],
            "cross": [without_prefix(x, ahead, len(self.source_prefix)) for x in maps["cross"]],
        }
        return self._output(hidden, maps["cross"][-1] if maps["cross"] else None), maps

    def _output(self, hidden: Tensor, attention: Tensor | None) -> Output:
        weight, bias = self.projection.weight, self.projection.bias
        if bias is not None:
            # losses take a weight without a bias: make the bias the weight of a feature that is always 1
            hidden = F.pad(F.pad(hidden, (0, 1), value=1.0), (0, _BIAS_FEATURES - 1))
            weight = torch.cat([weight, F.pad(bias[:, None], (0, _BIAS_FEATURES - 1))], dim=1)
        return Output(hidden, weight, attention)

    def _prefixed(self, source: Tokens, noise: EmbeddingNoise | None = None) -> tuple[Tokens, EmbeddingNoise | None]:
        """The source with its prefix, and noise that does not change prefixes."""
        noise = behind_prefixes(noise, source=len(self.source_prefix), target=len(self.target_prefix[1:]))
        return with_prefix(source, self.source_prefix), noise

    def _run_encoder(
        self, source: Tokens, noise: EmbeddingNoise | None = None, *, return_weights: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        mask, rotation = make_attention_mask(source, source, causal=False), self._rotation(source.positions)
        x, maps = self.embed_source(source, noise), []
        for layer in self.encoder.layers:
            x, weights = layer(x, mask, rotation, return_weights=return_weights)
            maps += [weights] if return_weights else []
        return self.encoder.norm(x), maps

    def _run_decoder(
        self,
        x: Tensor,
        memory: Sequence[tuple[Tensor, Tensor]],
        self_mask: AttentionMask,
        cross_mask: AttentionMask,
        rotation: Rotation | None,
        *,
        caches: Sequence[LayerCache] | None = None,
        weights_from: int | None = None,
    ) -> tuple[Tensor, AttentionMaps]:
        maps: AttentionMaps = {"decoder": [], "cross": []}
        for index, layer in enumerate(self.decoder.layers):
            wanted = weights_from is not None and index >= weights_from
            cache = None if caches is None else caches[index]
            x, self_weights, cross_weights = layer(
                x, memory[index], self_mask, cross_mask, rotation, cache=cache, return_weights=wanted
            )
            maps["decoder"] += [self_weights] if wanted else []
            maps["cross"] += [cross_weights] if wanted else []
        return self.decoder.norm(x), maps

    def _project(self, encoded: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the source for every decoder layer."""
        attentions = self._cross_attentions()
        projected = joined_linear([attention.key_value for attention in attentions], encoded)
        return [attention.split_memory(x) for attention, x in zip(attentions, projected, strict=True)]

    def _cross_attentions(self) -> list[CrossAttention]:
        return [layer.cross_attention for layer in cast(Iterable[DecoderLayer], self.decoder.layers)]

    def _rotation(self, positions: Tensor) -> Rotation | None:
        return None if self.rotary is None else self.rotary(positions)


def _check_prefixes(config: TransformerConfig, vocabularies: Vocabularies) -> None:
    sizes = {"source_prefix": vocabularies.source, "target_prefix": vocabularies.target}
    for name, size in sizes.items():
        if max(getattr(config, name), default=0) >= size:
            raise UserError(f"model.{name} ({getattr(config, name)}): the vocabulary has only the ids below {size:,}")


def _init_linear(module: nn.Module) -> None:
    """Xavier-uniform weights, zero biases."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
