"""The page's files: served under their own names alone, with a strict policy, and without anything from elsewhere."""

import json
import re
from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient

from fake_service import fake_app, write_fake_model
from small_runs import REPOSITORY
from translate.serving.page_files import FILES
from translate.serving.words import word_fields

PAGE = REPOSITORY / "translate" / "serving" / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

TEXTS, GROUNDS = ("ink", "faint", "accent", "amber", "red"), ("paper", "card", "tint", "lit-part")
MARKED = [("ink", "lit-word"), ("ink", "track"), ("ink", "alert"), ("accent", "alert"), ("on-accent", "accent")]


@pytest.fixture
def client(tmp_path):
    with TestClient(fake_app(write_fake_model(tmp_path / "en-de"))) as client:
        yield client


def text_of(*endings):
    return {path.name: path.read_text(encoding="utf-8") for path in PAGE.iterdir() if path.suffix in endings}


class Elements(HTMLParser):
    """All elements of a page with their attributes, and the text inside of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.found, self.inline = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.found and self.found[-1][0] in ("script", "style"):
            self.inline += data.strip()


def test_every_file_of_the_folder_is_served_with_its_type_and_the_policy(client):
    paths = ["/", *(f"/page/{path.name}" for path in PAGE.iterdir())]
    assert len(paths) == len(FILES) + 1
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(
            TYPES["." + path.partition(".")[2] if path != "/" else ".html"]
        )
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_browsers_keep_files_and_ask_if_they_have_changed(client):
    tag = client.get("/page/style.css").headers["etag"]
    again = client.get("/page/style.css", headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert "content-security-policy" in again.headers
    assert client.head("/").status_code == 200


@pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "%2e%2e/config.py", "none.js", "/etc/passwd"])
def test_other_names_are_not_found(client, name):
    assert client.get(f"/page/{name}").status_code == 404


def test_the_page_has_nothing_inline_and_refers_to_its_own_files_alone():
    page = Elements((PAGE / "index.html").read_text(encoding="utf-8"))
    assert page.inline == ""
    for tag, attributes in page.found:
        assert not [name for name in attributes if name == "style" or name.startswith("on")], tag
        for name in ("src", "href"):
            if name in attributes:
                target = attributes[name]
                assert target.startswith("#") or target.removeprefix("page/") in FILES
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_scripts_and_styles_name_no_other_host():
    for name, text in text_of(".js", ".css", ".html", ".svg").items():
        assert set(re.findall(r"\w+://\S+?(?=[\"'\s>])", text)) <= {"http://www.w3.org/2000/svg"}, name
        assert "url(" not in text, name
    for name, text in text_of(".js").items():
        assert set(re.findall(r'from "\./(.+?)"', text)) <= FILES.keys(), name


def test_scripts_interpret_no_text_as_html_or_code():
    hazards = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setHTML|DOMParser"
    )
    assert {name: hazards.findall(text) for name, text in text_of(".js").items() if hazards.search(text)} == {}


def luminance(colour):
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    shares = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_texts_and_edges_stand_out_from_every_ground_they_lie_on(theme):
    style = (PAGE / "style.css").read_text(encoding="utf-8")
    colours = {name: pair[theme] for name, *pair in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", style)}
    texts = [(text, ground) for text in TEXTS for ground in GROUNDS] + MARKED
    low = {pair: round(contrast(*(colours[name] for name in pair)), 2) for pair in texts}
    assert {pair: value for pair, value in low.items() if value < 4.5} == {}
    assert min(contrast(colours["edge"], colours[ground]) for ground in ("paper", "card")) >= 3


def test_files_are_short_enough_to_be_read():
    assert [name for name, text in text_of(".js", ".css", ".html").items() if text.count("\n") > 300] == []


def test_parts_of_a_stream_have_the_white_space_between_them(client):
    fields = {"text": "One. Two.\n\nThree.", "source": "en", "target": "de", "details": True}
    answer = client.post("/v1/translate/stream", json=fields)
    parts = [(part["line"], part["space"], part["text"]) for part in map(json.loads, answer.text.splitlines())]
    assert parts == [(0, "", "ONE."), (0, " ", "TWO."), (2, "", "THREE.")]


def test_a_stream_leaves_a_text_as_it_is_that_is_detected_in_the_target_language(client):
    answer = client.post("/v1/translate/stream", json={"text": "One.\n\n Two. ", "source": "auto", "target": "en"})
    parts = [(part["line"], part["source"], part["text"]) for part in map(json.loads, answer.text.splitlines())]
    assert parts == [(0, "One.", "One."), (2, " Two. ", "Two.")]


def test_the_probability_of_a_word_is_the_product_over_its_pieces():
    record = {
        "text": "Die alte Lampe.",
        "tokens": ["▁Die", "▁al", "te", "▁Lampe", ".", "</s>"],
        "token_scores": [-0.1, -0.25, -0.5, -1.0, None, -9.0],
    }
    found = word_fields("The old lamp.", record)
    assert found["source_words"] == ["The", "old", "lamp."]
    assert list(zip(found["words"], found["word_scores"], strict=True)) == [
        ("Die", -0.1),
        ("alte", -0.75),
        ("Lampe.", None),
    ]
    assert word_fields("", {"text": "", "tokens": [], "token_scores": []})["words"] == []
