"""HTML pages from the templates in templates/."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render(template: str, **values: Any) -> str:
    """A page by the name of its template; a value that the template names and that is missing is an error."""
    return _templates().get_template(template).render(**values)


@cache
def _templates() -> Environment:
    # autoescape: lines and names may hold any text, HTML included
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
