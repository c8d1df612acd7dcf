"""The service's interfaces: LibreTranslate's and our own, errors as statuses, keys, limits, log and metrics."""

import io
import json

import docx
import pytest
from starlette.testclient import TestClient

from fake_service import fake_app, write_fake_model
from translate.monitoring.log import LogEntry
from translate.monitoring.sampling import read_samples
from translate.serving.api_keys import new_key, read_keys
from translate.serving.config import LimitConfig
from translate.serving.request_log import RequestLog


@pytest.fixture
def client(tmp_path):
    folders = [write_fake_model(tmp_path / "en-de"), write_fake_model(tmp_path / "de-en", source="de", target="en")]
    with TestClient(fake_app(*folders, limits=LimitConfig(characters=200, texts=3, n_best=3))) as client:
        yield client


def test_translate_takes_texts_lists_and_html_as_json_and_as_forms(client):
    english = {"source": "en", "target": "de"}
    assert client.post("/translate", json={"q": "A. B.\nC", **english}).json() == {"translatedText": "A. B.\nC"}
    assert client.post("/translate", data={"q": "a b", **english}).json() == {"translatedText": "A B"}
    assert client.post("/translate", json={"q": ["a", ""], **english}).json() == {"translatedText": ["A", ""]}
    html = client.post("/translate", json={"q": "<p>a <b>dog</b></p>", "format": "html", **english}).json()
    assert html == {"translatedText": "<p>A <b>DOG</b></p>"}


def test_translate_detects_the_language_and_gives_alternatives(client):
    text = "Das ist ein Haus, und dort steht ein Hund."
    found = client.post("/translate", json={"q": text, "source": "auto", "target": "en", "alternatives": 2}).json()
    assert found["translatedText"] == text.upper()
    assert found["alternatives"] == [f"{text.upper()}1", f"{text.upper()}2"]
    assert found["detectedLanguage"]["language"] == "de"
    assert found["detectedLanguage"]["confidence"] > 90
    same = client.post("/translate", json={"q": [text], "source": "auto", "target": "de"}).json()
    assert same["translatedText"] == [text]  # it is in that language already


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"source": "en", "target": "de"}, "q"),
        ({"q": "\ud800", "source": "en", "target": "de"}, "surrogate"),
        ({"q": "a", "source": "en", "target": "fr"}, "no translation from en into fr"),
        ({"q": "a", "source": "en", "target": "de", "format": "pdf"}, "format"),
        ({"q": 5, "source": "en", "target": "de"}, "q"),
        ({"q": "a" * 201, "source": "en", "target": "de"}, "201 characters; at most 200"),
        ({"q": ["a"] * 4, "source": "en", "target": "de"}, "4 texts; at most 3"),
        ({"q": "a", "source": "en", "target": "de", "alternatives": 3}, "at most 2"),
    ],
)
def test_requests_that_cannot_be_answered_are_told_why(client, fields, words):
    answer = client.post("/translate", content=json.dumps(fields))
    assert answer.status_code == 400
    assert words in answer.json()["error"]


@pytest.mark.parametrize("body", [b"{", b"[1]", b'{"q": "\xff"}', b'{"q":' + b"[" * 5000])
def test_bodies_that_are_no_json_object_are_refused(client, body):
    answer = client.post("/translate", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]


def test_languages_settings_and_detection_describe_the_service(client):
    assert client.get("/languages").json() == [
        {"code": "en", "name": "English", "targets": ["de"]},
        {"code": "de", "name": "German", "targets": ["en"]},
    ]
    settings = client.get("/frontend/settings").json()
    assert settings["charLimit"] == 200
    assert settings["language"]["source"] == {"code": "en", "name": "English"}
    assert ".docx" in settings["supportedFilesFormat"]
    ranked = client.post("/detect", data={"q": "The house is old, and the garden is large."}).json()
    assert [each["language"] for each in ranked] == ["en", "de"]
    assert [client.get(path).json()["status"] for path in ("/health", "/ready")] == ["ok", "ok"]
    assert client.get("/nowhere").json() == {"error": "Not Found"}


def test_a_file_is_translated_and_fetched(client):
    document = "1\n00:00:01,000 --> 00:00:02,000\nA dog.\n"
    sent = client.post(
        "/translate_file", files={"file": ("../../é b\u202e.srt", document)}, data={"source": "en", "target": "de"}
    )
    fetched = client.get(sent.json()["translatedFileUrl"])
    assert fetched.text == document.replace("A dog.", "A DOG.")
    assert fetched.headers["content-disposition"] == (
        "attachment; filename=\"__b__translated.srt\"; filename*=UTF-8''%C3%A9_b__translated.srt"
    )
    assert client.get("/download_file/other").status_code == 400
    program = client.post("/translate_file", files={"file": ("a.exe", b"MZ")}, data={"source": "en", "target": "de"})
    assert ".exe" in program.json()["error"]


def test_the_language_of_a_document_is_that_of_its_texts(client):
    """Not of its bytes: those of a Word document are compressed."""
    text = "Das ist ein altes Haus, und dort steht ein großer Hund."
    document, content = docx.Document(), io.BytesIO()
    document.add_paragraph(text)
    document.save(content)
    files = {"file": ("a.docx", content.getvalue())}
    sent = client.post("/translate_file", files=files, data={"source": "auto", "target": "en"})
    fetched = client.get(sent.json()["translatedFileUrl"])
    assert docx.Document(io.BytesIO(fetched.content)).paragraphs[0].text == text.upper()


def test_our_interface_gives_records_and_takes_options(client):
    fields = {"text": ["a b", "a c"], "source": "en", "target": "de", "n_best": 2, "terms": [["a", "x"]], "prefix": "A"}
    answer = client.post("/v1/translate", json=fields).json()
    assert [each["text"] for each in answer["translations"]] == ["A B", "A C"]
    assert [each["text"] for each in answer["translations"][0]["lines"][0]["nbest"]] == ["A B", "A B1"]
    assert answer["model"]["name"] == "en-de"
    options = client.app.state.fake.started[0].options[0]
    assert (options.n_best, options.terms, options.prefix) == (2, (("a", "x"),), "A")
    for wrong in ({"n_best": 4}, {"unknown": 1}, {"terms": [["a", ""]]}, {"model": "other"}):
        assert client.post("/v1/translate", json={**fields, **wrong}).status_code == 400
    assert [model["name"] for model in client.get("/v1/models").json()] == ["en-de", "de-en"]


def test_sentences_are_streamed_in_their_order(client):
    fields = {"text": "One is here. Two is there.\n\nThree.", "source": "en", "target": "de"}
    lines = client.post("/v1/translate/stream", json=fields).text.splitlines()
    parts = [json.loads(line) for line in lines]
    assert [(part["line"], part["text"]) for part in parts] == [
        (0, "ONE IS HERE."),
        (0, "TWO IS THERE."),
        (2, "THREE."),
    ]


def test_models_of_several_languages_are_told_the_target(tmp_path):
    directions = [
        {"source_language": "en", "target_language": code, "tag": f"<2{code}>", "bleu_tokenizer": "13a"}
        for code in ("de", "zh")
    ]
    with TestClient(fake_app(write_fake_model(tmp_path / "many", directions=directions))) as client:
        assert client.get("/languages").json()[0]["targets"] == ["de", "zh"]
        answer = client.post("/translate", json={"q": "a", "source": "en", "target": "zh"})
        assert answer.json() == {"translatedText": "zh A"}


def test_keys_have_rates_of_their_own(tmp_path):
    file = tmp_path / "keys.yaml"
    keys = {name: new_key(name, str(file)) for name in ("alice", "bob")}
    file.write_text(file.read_text() + "  requests_per_minute: 2\n")
    limits = LimitConfig()
    known = read_keys(str(file), limits)
    assert keys["alice"] not in file.read_text()
    log = io.StringIO()
    app = fake_app(write_fake_model(tmp_path / "one"), keys=known, require_key=True, log=log)
    fields = {"q": "a", "source": "en", "target": "de"}
    with TestClient(app) as client:
        assert client.post("/translate", json=fields).status_code == 403
        assert client.post("/translate", json={**fields, "api_key": "wrong"}).status_code == 403
        statuses = [client.post("/translate", json={**fields, "api_key": keys["bob"]}).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        bearer = {"Authorization": f"Bearer {keys['alice']}"}
        assert client.post("/translate", json=fields, headers=bearer).status_code == 200
    assert [json.loads(line)["key"] for line in log.getvalue().splitlines()] == ["", "", "bob", "bob", "", "alice"]


def test_characters_of_documents_count_as_well(tmp_path):
    log = io.StringIO()
    limits = LimitConfig(characters_per_minute=60, file_characters=100)
    with TestClient(fake_app(write_fake_model(tmp_path / "one"), limits=limits, log=log)) as client:

        def send(text: str) -> int:
            files = {"file": ("a.html", f"<p>{text}</p>")}
            return client.post("/translate_file", files=files, data={"source": "en", "target": "de"}).status_code

        assert [send("a" * 101), send("b" * 90), send("c")] == [400, 200, 429]
    assert [json.loads(line)["characters"] for line in log.getvalue().splitlines()] == [0, 90, 0]


def test_a_rate_in_characters_names_the_time_to_wait(tmp_path):
    app = fake_app(write_fake_model(tmp_path / "one"), limits=LimitConfig(characters_per_minute=60))
    with TestClient(app) as client:
        fields = {"source": "en", "target": "de"}
        assert client.post("/translate", json={"q": "a" * 60, **fields}).status_code == 200
        refused = client.post("/translate", json={"q": "a" * 30, **fields})
        assert refused.status_code == 429
        assert 25 <= int(refused.headers["retry-after"]) <= 30


def test_large_bodies_are_refused_and_answers_carry_security_headers(tmp_path):
    app = fake_app(write_fake_model(tmp_path / "one"), limits=LimitConfig(body=1000))
    with TestClient(app) as client:
        large = client.post("/translate", json={"q": "a" * 1000, "source": "en", "target": "de"})
        assert large.status_code == 413
        for answer in (large, client.get("/health"), client.get("/nowhere")):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert (
            "access-control-allow-origin" not in client.get("/health", headers={"Origin": "https://a.example"}).headers
        )


def test_the_log_has_numbers_that_the_monitor_reads_but_no_text(tmp_path):
    log = io.StringIO()
    with TestClient(fake_app(write_fake_model(tmp_path / "one"), log=log)) as client:
        client.post("/translate", json={"q": "secret words", "source": "en", "target": "de"})
        metrics = client.get("/metrics").text
    first = json.loads(log.getvalue().splitlines()[0])
    assert (first["route"], first["status"], first["model"], first["characters"]) == ("/translate", 200, "one", 12)
    entry = LogEntry.from_json(first)
    assert (entry.model, entry.source, entry.target, entry.version) == ("one", "en", "de", first["version"])
    (line,) = entry.lines
    assert (line.source_characters, line.source_tokens, line.target_tokens) == (12, 2, 2)
    assert "secret" not in log.getvalue().lower()
    assert 'translate_requests_total{route="/translate",status="200"} 1.0' in metrics
    assert 'translate_source_tokens_total{model="one"} 2.0' in metrics


def test_samples_have_texts_without_addresses_and_numbers(tmp_path):
    file = tmp_path / "samples.jsonl"
    with file.open("w") as samples, TestClient(fake_app(write_fake_model(tmp_path / "one"), samples=samples)) as client:
        client.post("/translate", json={"q": "Write to a@b.org on the 5th", "source": "en", "target": "de"})
        client.get("/health")
    (line,) = read_samples([str(file)], last=10)
    assert line.text == "Write to [address 1] on the [number 1]"
    assert line.translation == "WRITE TO [address 1] ON THE [number 1]"


def test_texts_are_kept_in_memory_for_samples_alone():
    lines = [{"text": "HIDDEN", "features": {}}]
    for samples, kept in ((None, []), (io.StringIO(), [("hidden", "HIDDEN")])):
        record = RequestLog(None, samples=samples, share=1.0).begin("/translate")
        record.add(["hidden"], lines)
        assert record.texts == kept


def test_requests_are_answered_where_the_log_cannot_be_written(tmp_path, caplog):
    with (
        open("/dev/full", "wb", buffering=0) as device,
        io.TextIOWrapper(device, write_through=True) as full,
        TestClient(fake_app(write_fake_model(tmp_path / "one"), log=full)) as client,
    ):
        assert [client.get("/health").status_code for _ in range(3)] == [200] * 3
    assert caplog.text.count("the log of requests cannot be written: No space left on device") == 1


@pytest.mark.parametrize(
    "text",
    [
        "- name: a",
        "name: a",
        "- name: a\n  sha256: 12",
        "- [a]",
        f"- name: a\n  sha256: {'0' * 64}\n  rate: 1",
        f'- name: "a\\n"\n  sha256: {"0" * 64}',
        "".join(f"- name: {name}\n  sha256: '{'0' * 64}'\n" for name in "ab"),
    ],
)
def test_damaged_key_files_are_refused(tmp_path, text):
    file = tmp_path / "keys.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"keys\.yaml"):
        read_keys(str(file), LimitConfig())
