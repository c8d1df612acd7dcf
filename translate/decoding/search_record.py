"""Searches in manifests and reports: writing, reading and comparing their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from translate.decoding.hypotheses import SearchConfig, SearchMethod
from translate.errors import UserError

_WITHOUT_EFFECT = {"n_best"}  # on the best hypothesis
_OF_METHOD = {  # settings without effect in other methods
    SearchMethod.beam: {"beam_size", "length_penalty"},
    SearchMethod.sampling: {"temperature", "top_k", "seed"},
}


def search_fields(search: SearchConfig) -> dict[str, Any]:
    """A search in JSON's own types, for manifests."""
    return {name: value.value if isinstance(value, SearchMethod) else value for name, value in asdict(search).items()}


def search_of(manifest: Mapping[str, Any]) -> SearchConfig | None:
    """The search that a model was scored with; None where its manifest does not record it.

    Settings that this version does not know are ignored. Raises UserError for a damaged manifest.
    """
    if "search" not in manifest:
        return None
    known = {field.name for field in fields(SearchConfig)}
    try:
        search = SearchConfig(**{name: value for name, value in manifest["search"].items() if name in known})
        return replace(search, method=SearchMethod(search.method))
    except (AttributeError, ValueError) as error:
        raise UserError(f"the model's manifest.json: the entry search is damaged: {error}") from None


def describe_search(search: SearchConfig) -> str:
    """The method and whatever differs from the defaults, in one line."""
    usual = SearchConfig()
    shown = {
        name: value
        for name, value in _effective(search).items()
        if name != "method" and (name == "beam_size" or value != getattr(usual, name))
    }
    return " ".join([search.method, *(f"{name}={value}" for name, value in shown.items())])


def search_note(of_run: SearchConfig | None, search: SearchConfig) -> str:
    """A line for the user if a search may find other translations than the run's own search; else ""."""
    if of_run is None or _effective(of_run) == _effective(search):
        return ""
    return f"search: {describe_search(search)}; the run's own scores were made with {describe_search(of_run)}"


def _effective(search: SearchConfig) -> dict[str, Any]:
    """The settings that decide the best hypothesis."""
    others = set().union(*(names for method, names in _OF_METHOD.items() if method is not search.method))
    return {name: value for name, value in asdict(search).items() if name not in others | _WITHOUT_EFFECT}
