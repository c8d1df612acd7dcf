"""Settings of reranking: the models that score hypotheses, and their weights."""

from __future__ import annotations

from dataclasses import dataclass, field

from translate.errors import UserError, require_between


@dataclass(kw_only=True)
class RerankWeights:
    """Factors of the scores that add up to the score of a hypothesis; scripts/tune_rerank.py finds others."""

    forward: float = 1.0
    reverse: float = 0.5
    right_to_left: float = 1.0
    language_model: float = 0.1


@dataclass(kw_only=True)
class RerankConfig:
    """Models that score the hypotheses of beam search, which are then ordered by the weighted sum of all scores.

    Every score is a mean log probability per token, EOS counted.

    reverse         a model from the target to the source language: log p(source | hypothesis); "": none
    right_to_left   a model trained with data.reverse_target=true: log p(hypothesis | source) from its end; "": none
    language_model  a model trained with the line language_model_source as every source: log p(hypothesis); "": none
    weights         of the model's own score (forward) and of the others
    """

    reverse: str = ""
    right_to_left: str = ""
    language_model: str = ""
    language_model_source: str = "."
    weights: RerankWeights = field(default_factory=RerankWeights)

    @property
    def models(self) -> dict[str, str]:
        """Paths of the models that are given, by their roles."""
        paths = {"reverse": self.reverse, "right_to_left": self.right_to_left, "language_model": self.language_model}
        return {role: path for role, path in paths.items() if path}

    def check(self) -> None:
        """Raise UserError for weights out of range, options of models that are not given, and a blank source line."""
        for name, weight in vars(self.weights).items():
            require_between(f"rerank.weights.{name}", weight, -100.0, 100.0)
        if self.language_model and not self.language_model_source.strip():
            raise UserError("rerank.language_model_source is blank: name the line that the model was trained with")
        used, usual = {*self.models, *(["forward"] if self.models else [])}, vars(RerankWeights())
        changed = [name for name, weight in vars(self.weights).items() if weight != usual[name]]
        unused = [f"rerank.weights.{name}" for name in changed if name not in used]
        if self.language_model_source != RerankConfig.language_model_source and not self.language_model:
            unused.append("rerank.language_model_source")
        if unused:
            raise UserError(f"{unused[0]} is for a model that is not given: name the model, or leave it out")
