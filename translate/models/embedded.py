"""What the architectures share: embeddings of both sides, and a projection to logits, tied as configured."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from translate.models.config import ModelConfig, Tying
from translate.models.layers import Embedding, Positions
from translate.models.seq2seq import Seq2Seq
from translate.models.vocabulary import Vocabularies


class EmbeddedSeq2Seq(Seq2Seq):
    """A model between the embeddings of its tokens and the projection of its hidden states, all D wide.

    Raises UserError for a configuration that makes no model.
    """

    source_embedding: Embedding
    target_embedding: Embedding

    def __init__(self, config: ModelConfig, vocabularies: Vocabularies, positions: Positions):
        super().__init__()
        config.check(vocabularies)
        self.max_length = config.max_length
        target = nn.Embedding(vocabularies.target, config.d_model)
        source = target if config.tying is Tying.all else nn.Embedding(vocabularies.source, config.d_model)
        self.source_embedding, self.target_embedding = (
            Embedding(
                tokens,
                positions=positions,
                max_positions=config.max_length + 1,  # EOS on the source side, BOS on the target side
                dropout=config.dropout,
                token_dropout=config.token_dropout,
            )
            for tokens in (source, target)
        )
        self.tied = config.tying is not Tying.none
        self.projection = nn.Linear(
            config.d_model, vocabularies.target, bias=False, device="meta" if self.tied else None
        )  # meta: nothing is drawn for what is replaced below

    def initialise(self, draw: Callable[[nn.Module], None]) -> None:
        """Draw the weights of each module, then tie those that are one."""
        self.apply(draw)
        if self.tied:
            self.projection.weight = self.target_embedding.tokens.weight


def draw_embedding(module: nn.Module) -> None:
    """Variance 1 / D, so that √D brings embeddings to 1 and logits stay small."""
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
