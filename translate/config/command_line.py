"""The words of a command line, made fit for Hydra."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from translate.config.groups import CONFIGS


def take_own_options(schema: type[Any]) -> dict[str, str]:
    """Options of the command line that Hydra must not see, because a group has the same name.

    model= chooses an architecture when training, and is a folder for the commands that decode.
    """
    texts = {field.name for field in dataclasses.fields(schema) if field.type in ("str", str)}
    own = {}
    for word in list(sys.argv[1:]):
        key, equals, value = word.partition("=")
        if equals and key in texts and (CONFIGS / key).is_dir():
            own[key] = value
            sys.argv.remove(word)
    return own


def is_given(group: str) -> bool:
    """True if the command line that Hydra has read sets this group or an option in it; False outside a command."""
    if not HydraConfig.initialized():
        return False
    overrides = OverridesParser.create().parse_overrides(list(HydraConfig.get().overrides.task))
    return any(override.key_or_group.partition(".")[0] == group for override in overrides)


def quote_texts() -> None:
    """Put quotes around values on the command line that Hydra's grammar has no place for.

    It refuses file names with umlauts, brackets, "=" or "#", in plain lists as well. What begins a dictionary or a
    quotation, or holds one in a list, stays as it is: there a refusal is of use.
    """
    parser = OverridesParser.create()
    sys.argv[1:] = [_quoted(word) if _is_refused(word, parser) else word for word in sys.argv[1:]]


def _is_refused(word: str, parser: OverridesParser) -> bool:
    _, equals, value = word.partition("=")
    if not equals or word.startswith("-") or value.startswith(("{", "'", '"')):
        return False
    if value.startswith("[") and (not value.endswith("]") or set("'\"{") & set(value) or value.count("[") > 1):
        return False
    try:
        parser.parse_override(word)
    except HydraException:
        return True
    return False


def _quoted(word: str) -> str:
    key, _, value = word.partition("=")
    if not value.startswith("["):
        return f"{key}={_in_quotes(value)}"
    return f"{key}=[{','.join(_in_quotes(item.strip()) for item in value[1:-1].split(','))}]"


def _in_quotes(text: str) -> str:
    return str(QuotedString(text, Quote.single).with_quotes())
