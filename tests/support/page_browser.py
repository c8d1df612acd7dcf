"""The page of a service of fake models, in headless Chromium; a plugin of pytest, for its fixtures."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from fastapi import FastAPI

from fake_service import fake_app, write_fake_model
from live_service import live

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser of Playwright; the test is skipped where it or Chromium is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip(f"the page's tests need one of {', '.join(_PROGRAMS)}")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The address of an application, served by a thread."""
    with live(app) as service:
        yield f"http://127.0.0.1:{service.port}/"


class Page:
    """A page of Playwright with shorthands; errors of scripts are collected."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.errors = page, list[str]()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        page.on("request", lambda request: request.url.startswith(address) or self.errors.append(request.url))
        page.goto(address)
        page.locator("#target-language option").first.wait_for(state="attached")

    def translate(self, text: str) -> str:
        """Type a text and wait for its translation."""
        self.page.fill("#source", text)
        self.wait_for_translation()
        return self.output

    def wait_for_translation(self) -> None:
        self.page.locator("#status", has_text="Translated").wait_for()

    @property
    def output(self) -> str:
        return str(self.page.locator("#output").inner_text())

    def select(self, source: str, target: str) -> None:
        self.page.select_option("#source-language", source)
        self.page.select_option("#target-language", target)

    @property
    def languages(self) -> tuple[str, str]:
        return self.page.input_value("#source-language"), self.page.input_value("#target-language")

    @property
    def alternatives(self) -> Any:
        return self.page.locator("#alternatives li button")

    def word(self, text: str) -> Any:
        return self.page.locator("#output .word").get_by_text(text, exact=True)

    @property
    def focused(self) -> str:
        return str(self.page.locator(":focus").inner_text())

    def lit(self, side: str) -> list[str]:
        """Highlighted words of #copy, which is the source, or of #output."""
        return list(self.page.locator(f"{side} .word.lit").all_inner_texts())


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """A service between three languages."""
    folder = tmp_path_factory.mktemp("models")
    directions = [("en", "de"), ("de", "en"), ("en", "ar")]
    return fake_app(*(write_fake_model(folder / "-".join(each), source=each[0], target=each[1]) for each in directions))


@pytest.fixture(scope="module")
def address(app: FastAPI) -> Iterator[str]:
    with served(app) as address:
        yield address


@pytest.fixture(scope="module")
def open_page() -> Iterator[Callable[..., AbstractContextManager[Page]]]:
    """Open an address in a profile of its own, with options of Playwright's new_context."""
    with chromium() as browser:

        @contextmanager
        def open_page(address: str, **options: Any) -> Iterator[Page]:
            context = browser.new_context(**{"viewport": {"width": 1100, "height": 800}, **options})
            page = Page(context.new_page(), address)
            page.select("en", "de")
            yield page
            context.close()

        yield open_page


@pytest.fixture
def page(open_page: Callable[..., AbstractContextManager[Page]], address: str) -> Iterator[Page]:
    """The page, which must end without an error of its scripts."""
    with open_page(address) as page:
        yield page
        assert page.errors == []


@pytest.fixture
def serve() -> Callable[[FastAPI], AbstractContextManager[str]]:
    """The function that serves another application."""
    return served
