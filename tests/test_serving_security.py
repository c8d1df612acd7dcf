"""Attacks on the service: documents that unfold, text where codes are expected, keys, hostile folders of models."""

import asyncio
import io
import json
import os
import stat
import zipfile

import pytest
from starlette.testclient import TestClient

from fake_service import FakeModels, fake_app, write_fake_model
from translate.errors import UserError
from translate.serve import by_folder_name
from translate.serving.access import Access, AccessError
from translate.serving.api_keys import new_key, read_keys
from translate.serving.config import LimitConfig
from translate.serving.model_version import ModelVersion, model_files
from translate.serving.options import TranslationOptions
from translate.serving.request_log import RequestRecord
from translate.serving.texts import TextTranslation

ENGLISH = {"source": "en", "target": "de"}


@pytest.fixture
def client(tmp_path):
    folders = [write_fake_model(tmp_path / "en-de"), write_fake_model(tmp_path / "de-en", source="de", target="en")]
    with TestClient(fake_app(*folders), raise_server_exceptions=False) as client:
        yield client


def bomb(member: bytes, *, times: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("word/document.xml", "w") as file:
        for _ in range(times):
            file.write(member)
    return stream.getvalue()


LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha">%s]><xliff version="1.2">&z;</xliff>' % b"".join(
    b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(25)
)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.docx", bomb(b"<w/>" * (1 << 18), times=12), "more than 10,485,760 bytes"),
        ("a.docx", b"PK\x03\x04" + b"\0" * 100, "not a DOCX"),
        ("a.xliff", LAUGHS, "entit"),
        ("a.xliff", b"<a>" * 100_000, "deep"),
        ("a.docx", bomb(b"<w>" + b"<a/>" * (1 << 20) + b"</w>", times=1), "memory"),
        ("a.po", b'msgid "\xff', "0xff"),
        ("\0../../etc/passwd", b"x", "not supported"),
    ],
    ids=["large", "no zip file", "entities", "deep", "wide", "no UTF-8", "path"],
)
def test_documents_that_unfold_are_refused(tmp_path, name, content, message):
    limits = LimitConfig(file=1 << 20, file_memory=1 << 27)
    with TestClient(fake_app(write_fake_model(tmp_path / "one"), limits=limits)) as client:
        answer = client.post("/translate_file", files={"file": (name, content)}, data=ENGLISH)
        assert answer.status_code == 400
        assert message in answer.json()["error"]
        assert client.get("/health").status_code == 200


def test_more_documents_than_allowed_are_refused(tmp_path):
    app = fake_app(write_fake_model(tmp_path / "one"), limits=LimitConfig(files=0))
    with TestClient(app) as client:
        answer = client.post("/translate_file", files={"file": ("a.txt", b"x")}, data=ENGLISH)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0


def test_what_clients_write_as_a_language_gets_nowhere(client):
    odd = {"source": "text.English (US)\n", "target": 'de"><ST'}
    streamed = client.post("/v1/translate/stream", json={"text": "A dog.", **odd})
    assert streamed.headers["x-source-language"] == "en"
    html = client.post("/translate", json={"q": "<html><p>a</p></html>", "format": "html", **odd})
    assert html.json()["translatedText"] == '<html lang="de"><p>A</p></html>'
    page = b"<html><p>This is a house, and the dog is here.</p></html>"
    for source in ("auto", odd["source"]):
        fields = {"source": source, "target": odd["target"]}
        sent = client.post("/translate_file", files={"file": ("a.html", page)}, data=fields)
        assert client.get(sent.json()["translatedFileUrl"]).content.startswith(b'<html lang="de"><p>THIS')


def test_html_in_the_target_language_stays(client):
    text = "<p>Das ist ein Haus, und dort steht ein Hund.</p>"
    fields = {"q": text, "source": "auto", "target": "de", "format": "html"}
    assert client.post("/translate", json=fields).json()["translatedText"] == text


def test_an_encoding_that_html_declares_changes_nothing(client):
    text = '<meta charset="iso-8859-1"><p>é</p>'
    answer = client.post("/translate", json={"q": text, "format": "html", **ENGLISH})
    assert answer.json()["translatedText"] == text.replace("é", "É")


def test_faults_are_answered_and_logged_without_text(tmp_path, caplog):
    def fail(text: str) -> None:
        raise KeyError(text)

    log = io.StringIO()
    app = fake_app(write_fake_model(tmp_path / "one"), log=log)
    app.add_api_route("/fail", fail)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/fail", params={"text": "secret"})
    assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert json.loads(log.getvalue())["status"] == 500
    assert "KeyError at test_serving_security.py" in caplog.text
    assert "secret" not in caplog.text + log.getvalue()


def test_keys_in_addresses_are_refused(client):
    answer = client.post("/translate?api_key=abc", json={"q": "a", **ENGLISH})
    assert answer.status_code == 400
    assert "address" in answer.json()["error"]
    assert "abc" not in answer.text


def test_names_of_keys_are_texts_and_other_files_are_not_written_to(tmp_path):
    file = tmp_path / "keys.yaml"
    names = ["yes", "123", "null", "1e5", "a-b"]
    for name in names:
        new_key(name, str(file))
    assert [each.name for each in read_keys(str(file), LimitConfig())] == names
    os.mkfifo(tmp_path / "pipe")
    for name, path, message in (("a b", file, "letters"), ("a" * 101, file, "100"), ("a", tmp_path / "pipe", "pipe")):
        with pytest.raises(UserError, match=message):
            new_key(name, str(path))


def test_changed_keys_are_taken_and_damaged_ones_are_not(tmp_path, caplog):
    file = tmp_path / "keys.yaml"
    first = new_key("alice", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text(file.read_text().rstrip())  # as an editor may leave it
    access = Access(read_keys(str(file), LimitConfig()), LimitConfig(), require_key=True, file=str(file))
    second = new_key("bob", str(file))
    with pytest.raises(AccessError):
        access.owner(second)
    asyncio.run(access.check_file())
    assert [access.owner(key).name for key in (first, second)] == ["alice", "bob"]
    file.write_text("- name: mallory")
    asyncio.run(access.check_file())
    assert "the former keys stay" in caplog.text
    assert access.owner(second).name == "bob"
    file.unlink()
    asyncio.run(access.check_file())
    assert access.owner(first).name == "alice"


@pytest.mark.parametrize(
    "entries",
    [
        {"source_language": 'en"><script>'},
        {"target_language": "de\r\nX: y"},
        {"source_language": ["en"]},
        {"context": "1"},
        {"context": -1},
        {"sentences_per_line": 1.5},
        {"directions": {"a": 1}},
        {"directions": [{"source_language": "en", "target_language": 1, "tag": "", "bleu_tokenizer": ""}]},
    ],
)
def test_hostile_manifests_are_refused(tmp_path, entries):
    folder = write_fake_model(tmp_path / "one", **entries)
    with pytest.raises(UserError, match="manifest"):
        ModelVersion.read(folder)


def test_the_weights_of_an_export_are_watched_and_counted(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "model.bin").write_bytes(b"weights")
    before = ModelVersion.read(tmp_path)
    assert before.weight_bytes == len(b"weights")
    (tmp_path / "model.bin").write_bytes(b"others")
    assert model_files(tmp_path) != before.files
    assert ModelVersion.read(tmp_path).hash != before.hash


def test_files_that_cannot_be_read_do_not_replace_a_model(tmp_path, caplog):
    async def run() -> None:
        folder = write_fake_model(tmp_path / "one")
        fake = FakeModels(folder, write_fake_model(tmp_path / "two"))
        for replacement in ("/proc/self/mem", "loop", "/etc/passwd"):  # a read that fails, a link that leads nowhere
            (folder / "manifest.json").unlink()
            os.symlink(replacement, folder / "manifest.json")
            (folder / "loop").unlink(missing_ok=True)
            os.symlink("loop", folder / "loop")
            write_fake_model(tmp_path / "two", context=1 if replacement == "loop" else 0)
            await fake.models.check_files()
            assert fake.models.by_name["one"].current.directions == [("en", "de")]
        assert caplog.text.count("the former model stays") == 3
        await fake.models.check_files()
        assert caplog.text.count("the former model stays") == 3  # the same files are not tried again

    asyncio.run(run())


def test_one_of_two_processes_that_cannot_start_again_leaves_the_other(tmp_path):
    async def run() -> None:
        fake = FakeModels(write_fake_model(tmp_path / "one"), processes=2, ends_at="poison")
        await fake.models.load_all()
        model = fake.models.by_name["one"]
        fake.refusal = UserError("no memory")
        fake.started[1].ends_at = None
        futures = await fake.models.translate(model, [["poison"], ["a"]], TranslationOptions(), "request")
        assert [records[0]["text"] for records in await asyncio.gather(*futures)] == ["POISON", "A"]
        assert model.is_loaded
        await fake.models.close()

    asyncio.run(run())


def test_text_without_ends_of_sentences_does_not_hold_up_a_batch(tmp_path):
    async def run() -> None:
        fake = FakeModels(write_fake_model(tmp_path / "one"), sentences=16)
        await fake.models.load_all()
        translation = TextTranslation(fake.models, fake.models.by_name["one"], TranslationOptions(), RequestRecord("a"))
        found = await translation.translate(["a dog " * 2000 + "b" * 3000])
        assert found[0][0].replace(" ", "") == "ADOG" * 2000 + "B" * 3000
        assert max(len(line) for lines in fake.started[0].batches for line in lines) <= 1000
        assert max(len("".join(lines)) for lines in fake.started[0].batches) <= 16 * 200
        await fake.models.close()

    asyncio.run(run())


def test_names_of_models_are_no_paths():
    assert list(by_folder_name(["a/mine", "b/mine/best", "mine", "other"])) == ["mine", "mine-2", "mine-3", "other"]
