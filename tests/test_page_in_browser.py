"""The page in headless Chromium: typing, words, alternatives, documents, history, terms, errors."""

import json
import re

import fake_service
from document_formats import word_file
from fake_service import fake_app, write_fake_model
from translate.documents import ENDINGS
from translate.serving.api_keys import new_key, read_keys
from translate.serving.config import LimitConfig
from translation_formats import tmx, unit

pytest_plugins = ["page_browser"]
TEXT = "A dog runs. The cat? sleeps!\n\nIt rains."
HTML = "<p>A <b>dog</b> runs.</p>"
XLIFF = (
    '<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file original="a" datatype="plaintext" '
    'source-language="en" target-language="de"><body><trans-unit id="1"><source>A dog runs.</source></trans-unit>'
    "</body></file></xliff>"
)
DOCUMENTS = {
    ".csv": "id,text\n1,A dog runs.\n",
    **dict.fromkeys((".htm", ".html", ".xhtml"), HTML),
    **dict.fromkeys((".po", ".pot"), 'msgid ""\nmsgstr "Language: de\\n"\n\nmsgid "A dog runs."\nmsgstr ""\n'),
    ".srt": "1\n00:00:01,000 --> 00:00:02,000\nA dog runs.\n",
    ".tmx": tmx(unit(en="A dog runs.")),
    ".txt": "A dog\nruns.\n",
    **dict.fromkeys((".xlf", ".xliff"), XLIFF),
}


def test_a_text_is_translated_while_it_is_typed_and_kept_in_its_lines(page):
    page.page.locator("#source").press_sequentially("A dog")
    page.wait_for_translation()
    assert page.output == "A DOG"
    assert page.translate(TEXT) == TEXT.upper()
    page.page.click("#clear")
    page.page.locator("#output:empty").wait_for()


def test_markup_in_texts_is_shown_and_never_interpreted(page):
    text = "<img src=x onerror=alert(1)> <script>a</script> &amp;"
    assert page.translate(text) == text.upper()
    page.page.locator("#output .word").first.hover()
    page.page.click("[data-opens=history-dialog]")
    assert page.page.locator("#output img, #output script, #copy img, dialog img").count() == 0


def test_words_show_their_confidence_in_words_too_and_the_words_they_are_aligned_with(page):
    page.translate(TEXT)
    descriptions = [page.word(word).get_attribute("aria-description") for word in ("DOG", "CAT?", "SLEEPS!")]
    assert descriptions == ["from dog", "unsure, from cat?", "less sure, from sleeps!"]
    lines = [
        page.word(word).evaluate("each => getComputedStyle(each).textDecorationStyle") for word in ("CAT?", "SLEEPS!")
    ]
    assert lines == ["double", "dotted"]
    page.word("CAT?").hover()
    assert page.lit("#copy") == ["cat?"]
    page.page.locator("#copy .word", has_text="rains.").hover(force=True)
    assert page.lit("#output") == ["RAINS."]
    page.page.locator("#source").evaluate("area => area.setSelectionRange(3, 3)")
    page.page.locator("#source").focus()
    page.page.locator("#output .word.lit", has_text="DOG").wait_for()


def test_a_word_has_alternatives_and_can_be_replaced_by_other_words(page, app):
    page.translate(TEXT)
    page.word("RUNS.").click()
    page.alternatives.first.wait_for()
    assert page.alternatives.all_inner_texts() == [f"A DOG RUNS.{n}" for n in range(1, 7)]
    options = next(each for process in app.state.fake.started for each in process.options if each.banned)
    assert (options.prefix, options.banned) == ("A DOG", ("DOG RUNS",))
    page.alternatives.nth(1).click()
    page.word("RUNS.2").wait_for()
    assert page.output == TEXT.upper().replace("RUNS.", "RUNS.2")
    page.page.locator("#copy .word.lit", has_text="runs.").wait_for()  # with details again, and the focus
    page.page.keyboard.press("Enter")
    page.page.fill("#other-words", "BARKS.")
    page.page.keyboard.press("Enter")
    page.word("BARKS.").wait_for()
    page.word("BARKS.").click()
    page.page.click("text=Back to the first translation")
    page.word("RUNS.").wait_for()
    assert page.output == TEXT.upper()


def test_documents_of_every_form_are_translated(page, address):
    contents = {ending: content.encode() for ending, content in DOCUMENTS.items()} | {".docx": word_file(None, "A dog")}
    assert contents.keys() == ENDINGS.keys()
    page.page.click("#files-tab")
    files = [{"name": f"a{ending}", "mimeType": "", "buffer": content} for ending, content in contents.items()]
    page.page.set_input_files("#file", files)
    page.page.locator("#jobs a").nth(len(files) - 1).wait_for()
    for link, file in zip(reversed(page.page.locator("#jobs a").all()), files, strict=True):
        answer = page.page.request.get(address + link.get_attribute("href"))
        assert file["name"].replace(".", "_translated.") in answer.headers["content-disposition"]
        assert file["name"] == "a.docx" or re.search(r"DOG.*\s.*RUNS", answer.text(), re.DOTALL)


def test_a_document_can_be_dropped_anywhere_and_refusals_are_shown(page):
    drop = """name => {
        const data = new DataTransfer();
        data.items.add(new File(["A dog"], name));
        document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
    }"""
    page.page.evaluate(drop, "a.txt")
    page.page.locator("#jobs a").wait_for()
    page.page.evaluate(drop, "<b>a.exe")
    page.page.locator("#jobs .failed", has_text=".exe").wait_for()
    assert page.page.locator("#jobs b").count() == 0
    page.errors.clear()  # the browser reports the refused request


def test_former_translations_are_kept_until_they_are_cleared_or_switched_off(page):
    kept = 'localStorage.getItem("translate.history")'
    page.translate("A dog runs.")
    page.page.locator("#history-dialog li").wait_for(state="attached")
    page.page.click("#clear")
    page.page.click("[data-opens=history-dialog]")
    page.page.locator("#history-dialog li button").click()
    page.wait_for_translation()
    assert page.output == "A DOG RUNS."
    page.page.click("[data-opens=history-dialog]")
    page.page.uncheck("[name=keep-history]")
    assert page.page.evaluate(kept) is None
    page.page.keyboard.press("Escape")
    page.translate("It rains.")
    page.page.wait_for_timeout(1800)
    assert page.page.evaluate(kept) is None


def test_terms_that_occur_are_sent_and_kept_for_their_direction(page, app):
    page.page.click("#terms-button")
    page.page.fill("#terms-dialog td:nth-child(1) input", "dog")
    page.page.fill("#terms-dialog td:nth-child(2) input", "HUND")
    page.page.click("[data-role=add]")
    page.page.keyboard.type("cat")
    page.page.keyboard.press("Tab")
    page.page.keyboard.type("KATZE")
    page.page.keyboard.press("Escape")
    assert page.page.inner_text("#terms-button") == "Terms (2)"
    page.translate("The Dog runs.")
    english_to_german = app.state.fake.started[0]
    assert english_to_german.options[-1].terms == (("dog", "HUND"),)
    page.select("en", "ar")
    assert page.page.inner_text("#terms-button") == "Terms"
    page.select("auto", "de")
    page.translate("The dog runs in the garden, and the man looks at it.")
    assert english_to_german.options[-1].terms == (("dog", "HUND"),)


def test_languages_are_detected_swapped_and_written_in_their_direction(page):
    page.select("auto", "en")
    text = "Das ist ein Haus, und dort steht ein Hund."
    page.translate(text)
    assert page.page.locator("#source-language option").first.inner_text() == "German (detected)"
    assert page.page.locator("#source").get_attribute("lang") == "de"
    page.page.click("#swap")
    page.wait_for_translation()
    assert page.page.input_value("#source") == text.upper()
    assert page.languages == ("en", "de")
    page.select("en", "ar")
    page.wait_for_translation()
    output = page.page.locator("#output")
    assert (output.get_attribute("dir"), output.get_attribute("lang")) == ("rtl", "ar")
    page.page.locator("#output .word").first.focus()
    page.page.keyboard.press("ArrowLeft")  # on, in a text from right to left
    assert page.focused == text.upper().split()[1]
    assert page.page.locator("#swap").get_attribute("aria-disabled") == "true"


def test_a_model_without_attention_and_scores_is_translated_all_the_same(page, monkeypatch):
    bare = {"alignment": None, "word_scores": None, "token_scores": []}
    monkeypatch.setattr(fake_service, "details", lambda line, text: {"words": text.split(), **bare})
    assert page.translate(TEXT) == TEXT.upper()
    page.word("DOG").hover()
    page.word("DOG").click()
    page.alternatives.first.wait_for()


def test_a_busy_service_is_asked_again_after_the_time_that_it_names(page):
    answer = {"status": 429, "headers": {"Retry-After": "1"}, "json": {"error": "too many requests"}}
    page.page.route("**/v1/translate/stream", lambda route: route.fulfill(**answer), times=1)
    page.page.fill("#source", "A dog")
    message = page.page.locator("#message")
    message.get_by_text("Too many requests. Trying again in 1 s.").wait_for()
    page.wait_for_translation()
    assert (page.output, message.is_visible()) == ("A DOG", False)
    page.errors.clear()


def test_a_service_that_is_away_is_told_and_can_be_asked_again(page):
    page.page.route("**/v1/translate/stream", lambda route: route.abort(), times=1)
    page.page.fill("#source", "A dog")
    page.page.locator("#message", has_text="cannot be reached").wait_for()
    page.page.click("#message-retry")
    page.wait_for_translation()
    page.errors.clear()


def test_a_required_key_is_asked_for_and_sent(open_page, serve, tmp_path):
    key = new_key("alice", str(tmp_path / "keys.yaml"))
    keys = read_keys(str(tmp_path / "keys.yaml"), LimitConfig())
    app = fake_app(write_fake_model(tmp_path / "en-de"), keys=keys, require_key=True)
    with serve(app) as address, open_page(address) as page:
        page.page.click("#message-key")
        page.page.fill("#key-field", key)
        page.page.keyboard.press("Tab")
        page.page.keyboard.press("Escape")
        assert page.translate("A dog") == "A DOG"
        assert key not in page.page.evaluate("JSON.stringify(localStorage)")  # unless it is to be remembered


def test_what_is_stored_may_be_damaged(open_page, address):
    entries = [None, 1, {}, {"source": "a", "target": "b", "from": "en", "to": "de", "time": 1e300}]
    kept = {"source": "<b>", "target": "x", "from": "en", "to": "<i>", "time": 1}
    stored = {
        "history": [*entries, kept],
        "terms.en-de": [None, ["dog"], ["cat", 5], ["dog", "HUND"]],
        "key": "schlüssel\n",
    }
    values = [{"name": f"translate.{name}", "value": json.dumps(value)} for name, value in stored.items()]
    origin = {"origin": address.rstrip("/"), "localStorage": values}
    with open_page(address, storage_state={"cookies": [], "origins": [origin]}) as page:
        assert page.page.locator("#history-dialog li").count() == 1
        assert page.page.inner_text("#terms-button") == "Terms (1)"
        page.page.fill("#source", "A dog")
        page.page.locator("#message", has_text="This API key is not valid.").wait_for()


def test_two_tabs_keep_the_terms_of_both_and_the_choice_to_have_no_history(page, address):
    other = type(page)(page.page.context.new_page(), address)
    other.select("en", "de")
    for tab, term in ((page, "dog"), (other, "cat")):
        tab.page.click("#terms-button")
        tab.page.click("[data-role=add]")
        tab.page.keyboard.type(term)
        tab.page.keyboard.press("Tab")
        tab.page.keyboard.type(term.upper())
        tab.page.keyboard.press("Escape")
    assert page.page.evaluate('localStorage.getItem("translate.terms.en-de")') == '[["dog","DOG"],["cat","CAT"]]'
    other.page.click("[data-opens=history-dialog]")
    other.page.uncheck("[name=keep-history]")
    page.translate("It rains.")
    page.page.wait_for_timeout(1800)
    assert page.page.evaluate('localStorage.getItem("translate.history")') is None


def test_an_answer_that_ends_early_is_told(page):
    body = '{"line": 0, "source": "A dog.", "space": "", "text": "A DOG.", "flags": []}\n{"line": 1, "sou'
    page.page.route("**/v1/translate/stream", lambda route: route.fulfill(body=body), times=1)
    page.page.fill("#source", "A dog.\nA cat.")
    page.page.locator("#message", has_text="The answer of the service is incomplete.").wait_for()
    assert page.output == "A DOG."
