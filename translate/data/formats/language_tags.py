"""Language tags such as de-DE, and the choice of the two languages to read from a file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from translate.data.formats.language_names import language_of_name
from translate.errors import UserError, excerpt


def is_language(wanted: str, tag: str) -> bool:
    """True if a tag (BCP 47, also with `_`) is of the wanted language, possibly with a script or region."""
    wanted, tag = normalised_tag(wanted), normalised_tag(tag)
    return tag == wanted or tag.startswith(f"{wanted}-")


def find_language(wanted: str, tags: Sequence[str]) -> int | None:
    """Index of the best match: an equal tag, else the first with a region or script, else "" (an unnamed language)."""
    exact = [index for index, tag in enumerate(tags) if normalised_tag(tag) == normalised_tag(wanted)]
    regional = [index for index, tag in enumerate(tags) if tag and is_language(wanted, tag)]
    unnamed = [index for index, tag in enumerate(tags) if not tag]
    return next(iter(exact + regional + unnamed), None)


def choose_sides(found: Sequence[str], source: str, target: str, *, name: str) -> tuple[str, str]:
    """The source and the target language to read from a file.

    found           languages of the file, its source language first; "" for a language that it does not name
    source, target  requested languages; "": taken from the file, if only one choice remains
    name            of the file in errors

    Raises UserError with a list of the file's languages if the choice is ambiguous.
    """
    if not found:
        raise UserError(f"{name} has no text in any language")
    sides = {wanted: find_language(wanted, found) for wanted in (source, target) if wanted}
    for wanted, index in sides.items():
        if index is None:
            raise _undecided(found, f"{wanted} is none of them", name)
    if source and target:
        # one unnamed language cannot be both
        if source != target and sides[source] == sides[target] == find_language("", found) and found != ["", ""]:
            raise _undecided(found, f"{source} and {target} are not these", name)
        return source, target
    if source or target:
        others = [tag for tag in found if not is_language(source or target, tag)]
        # an unnamed language may be the requested one
        others = others if len(others) < len(found) else [tag for tag in others if tag]
        if len(others) != 1:
            raise _undecided(found, "which is the other one", name)
        return (source, others[0]) if source else (others[0], target)
    if len(found) != 2:
        raise _undecided(found, "which two", name)
    return found[0], found[1]


def _undecided(found: Sequence[str], what: str, name: str) -> UserError:
    listing = ", ".join(tag or "unnamed" for tag in found) or "none"
    languages = "one language" if len(found) == 1 else f"{len(found)} languages"
    return UserError(
        f"{name} has text in {languages} ({excerpt(listing)}): {what}; set data.source_language=… "
        "data.target_language=… to two of them"
    )


@lru_cache(maxsize=1024)
def normalised_tag(tag: str) -> str:
    """The tag in lower case with the shortest language code: deu-DE and de_de become de-de."""
    language, dash, rest = tag.lower().replace("_", "-").partition("-")
    return (language_of_name(language) or language) + dash + rest
