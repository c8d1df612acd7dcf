"""The page for everybody: by keyboard alone, on small screens, in both themes, and checked by axe-core."""

import os
import re
from pathlib import Path

import pytest

pytest_plugins = ["page_browser"]
TEXT = "A dog runs. The cat? sleeps!\n\nIt rains."


def test_everything_is_reached_by_keyboard_alone(page):
    keys = page.page.keyboard
    page.page.locator("#source").focus()
    keys.type("A dog runs. It rains.")
    page.wait_for_translation()
    keys.press("Tab")
    assert page.focused == "Clear"
    keys.press("Tab")
    assert page.focused == "A"
    for key, word in [("ArrowRight", "DOG"), ("ArrowDown", "IT"), ("End", "RAINS."), ("ArrowUp", "IT"), ("Home", "A")]:
        keys.press(key)
        assert page.focused == word
    keys.press("ArrowRight")
    assert page.lit("#copy") == ["dog"]
    keys.press("Enter")
    page.alternatives.first.wait_for()
    keys.press("Escape")
    assert page.focused == "DOG"
    keys.press("Tab")
    assert page.focused == "Word details"
    page.page.focus("#text-tab")
    keys.press("ArrowRight")
    assert page.page.locator("#zone").is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_chosen_theme_stays(open_page, address, theme):
    with open_page(address, color_scheme="light" if theme == "dark" else "dark") as page:
        page.page.click("[data-opens=settings-dialog]")
        page.page.check(f"[value={theme}]")
        page.page.reload()
        paper = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", paper)[0]) > 128) == (theme == "light")


def test_small_screens_need_no_sideways_scrolling_and_have_large_targets(open_page, address):
    with open_page(address, viewport={"width": 320, "height": 640}) as page:
        page.translate(TEXT + " " + "W" * 100)
        for opener in (None, "#files-tab", "#terms-button"):
            if opener:
                page.page.click(opener)
            assert page.page.evaluate("document.documentElement.scrollWidth") <= 320
        sizes = page.page.evaluate(
            "[...document.querySelectorAll('button, select, input')].map(each => each.getBoundingClientRect())"
            ".filter(({width}) => width > 1).map(({width, height}) => Math.min(width, height))"
        )
        assert min(sizes) >= 19  # check boxes, whose labels are 40 pixels high; all others are as high as those


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(open_page, address, theme):
    """$AXE is the path of axe.min.js, of the npm package axe-core."""
    if "AXE" not in os.environ:
        pytest.skip("set AXE to the path of axe.min.js, of the npm package axe-core")
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    with open_page(address, color_scheme=theme) as page:
        page.page.evaluate(Path(os.environ["AXE"]).read_text(encoding="utf-8"))
        page.translate(TEXT)
        page.word("CAT?").click()
        page.alternatives.first.wait_for()
        for opener in (
            None,
            "#terms-button",
            "[data-opens=history-dialog]",
            "[data-opens=settings-dialog]",
            "#files-tab",
        ):
            if opener:
                page.page.keyboard.press("Escape")
                page.page.click(opener)
            found = page.page.evaluate("tags => axe.run(document, {runOnly: tags})", tags)["violations"]
            assert [(each["id"], each["impact"], each["nodes"][0]["target"]) for each in found] == []
