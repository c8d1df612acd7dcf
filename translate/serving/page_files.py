"""The page for people: the files of page/, read once at the start, under fixed names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

_FOLDER = Path(__file__).parent / "page"
_INDEX = "index.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class PageFile:
    """A file of the page; tag: its ETag, by which browsers ask if their copy is current."""

    content: bytes
    media_type: str
    tag: str

    @classmethod
    def read(cls, path: Path) -> PageFile:
        content = path.read_bytes()
        return cls(content, _TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')

    def response(self, request: Request) -> Response:
        """The file, or status 304 if the client has it."""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache"}  # keep, but ask each time
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


# a name from a request is looked up here and never becomes a path
FILES = {path.name: PageFile.read(path) for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES}


@router.api_route("/", methods=["GET", "HEAD"])
async def index(request: Request) -> Response:
    """The page."""
    return FILES[_INDEX].response(request)


@router.api_route("/page/{name}", methods=["GET", "HEAD"])
async def page_file(request: Request, name: str) -> Response:
    """A script, style or picture of the page."""
    if name not in FILES:
        raise HTTPException(404)
    return FILES[name].response(request)
