"""Attacks on the service: slow, malformed and endless requests, bombs, text where codes are expected, hostile files."""

import asyncio
import io
import json
import os
import stat
import time
import zipfile

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

from fake_service import FakeModels, fake_app, write_fake_model
from live_service import live
from translate.errors import UserError
from translate.serve import named
from translate.serving.access import Access, AccessError, new_key, read_keys
from translate.serving.config import LimitConfig
from translate.serving.options import TranslationOptions
from translate.serving.served_model import ModelVersion

HEAD = b"GET /health HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
ENGLISH = {"source": "en", "target": "de"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = write_fake_model(tmp_path_factory.mktemp("models") / "one")
    with live(fake_app(folder, limits=LimitConfig(seconds=1, body=1 << 16)), seconds=1) as found:
        yield found


@pytest.fixture
def client(tmp_path):
    folders = [write_fake_model(tmp_path / "en-de"), write_fake_model(tmp_path / "de-en", source="de", target="en")]
    with TestClient(fake_app(*folders), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        (b"", b""),
        (b"GET ", b"a"),
        (HEAD + b"X: ", b"a"),
        (HEAD + b"\r\nGET ", b"a"),  # after an answer
        (HEAD + b"Content-Length: 1000\r\n\r\n", b"a"),  # a body that is not read
        (POST + b"Content-Length: 1000\r\n\r\n{", b" "),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (POST + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n", b""),
    ],
)
def test_slow_clients_lose_their_connection(service, begin, drip):
    # the limit of a body, and the limit of what follows its refusal
    assert service.seconds_until_closed(begin, drip, most=10) < 5


def test_answers_that_nobody_reads_are_dropped(tmp_path):
    app = fake_app(write_fake_model(tmp_path / "one"))
    app.add_api_route("/large", lambda: Response(bytes(1 << 24)))
    with live(app, seconds=1) as service, service.connect() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(8) == b"HTTP/1.1"
        assert service.connections == 1
        deadline = time.monotonic() + 8
        while service.connections and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not service.connections


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", b"400"),
        (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", b"400"),
        (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", b"400"),
        (POST + b"Content-Length: -1\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\n\r\n", b"400"),  # no host
        (b"\x16\x03\x01\x02\x00" * 100 + b"\r\n\r\n", b"400"),  # TLS
        (HEAD + b"X: a\rb\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /download_file/..%2f..%2fetc%2fpasswd HTTP/1.0\r\n\r\n", b"404"),
        (b"GET /../../etc/passwd HTTP/1.0\r\n\r\n", b"404"),
        (b"GET /health/ HTTP/1.0\r\nHost: evil.example\r\n\r\n", b"404"),  # no redirect
        (b"TRACE /health HTTP/1.0\r\n\r\n", b"405"),
        (b"OPTIONS /translate HTTP/1.0\r\nOrigin: https://evil.example\r\n\r\n", b"405"),
    ],
)
def test_odd_requests_are_refused(service, request_bytes, status):
    answer = service.answer(request_bytes)
    assert answer.split()[1] == status
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"evil" not in answer


def test_two_lengths_are_no_second_request(service):
    body = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n" + HEAD + b"\r\n"
    assert service.answer(POST + body).count(b"HTTP/1.1 ") == 1


def test_an_endless_body_is_refused(service):
    with service.connect() as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(1000):
                connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        except ConnectionError:  # closed meanwhile
            return
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_bodies_share_a_limit(tmp_path):
    limits = LimitConfig(bodies=5000)
    with live(fake_app(write_fake_model(tmp_path / "one"), limits=limits), seconds=5) as service:
        with service.connect() as first:
            first.sendall(POST + b"Content-Length: 9000\r\n\r\n" + b" " * 4000)
            time.sleep(0.3)
            close = b"Connection: close\r\nContent-Length: 2000\r\n\r\n" + b" " * 2000
            assert b"429" in service.answer(POST + close).split(b"\r\n")[0]
        time.sleep(0.3)  # the first client has left, and its bytes are free
        assert b"400" in service.answer(POST + close).split(b"\r\n")[0]


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
)
def test_documents_that_unfold_are_refused(tmp_path, name, content, message):
    limits = LimitConfig(file=1 << 20, file_memory=1 << 27)
    with TestClient(fake_app(write_fake_model(tmp_path / "one"), limits=limits)) as client:
        answer = client.post("/translate_file", files={"file": (name, content)}, data=ENGLISH)
        assert answer.status_code == 400
        assert message in answer.json()["error"]
        assert client.get("/health").status_code == 200


def test_more_documents_than_allowed_are_refused(tmp_path):
    app = fake_app(write_fake_model(tmp_path / "one"), limits=LimitConfig(files=1))
    app.state.service._documents._running = 1
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


def test_changed_keys_are_taken_and_damaged_ones_are_not(tmp_path, caplog):
    file = tmp_path / "keys.yaml"
    first = new_key("alice", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text(file.read_text().rstrip())  # as an editor may leave it
    access = Access(read_keys(str(file), LimitConfig()), LimitConfig(), require_key=True, file=str(file))
    second = new_key("bob", str(file))
    with pytest.raises(AccessError):
        access.owner(second)
    access.check_file()
    assert [access.owner(key).name for key in (first, second)] == ["alice", "bob"]
    file.write_text("- name: mallory")
    access.check_file()
    assert "the former keys stay" in caplog.text
    assert access.owner(second).name == "bob"
    file.unlink()
    access.check_file()
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

        async def refuse(settings: object) -> None:
            raise UserError("no memory")

        model._start = refuse
        fake.started[1].ends_at = None
        futures = await fake.models.translate(model, [["poison"], ["a"]], TranslationOptions(), "request")
        assert [records[0]["text"] for records in await asyncio.gather(*futures)] == ["POISON", "A"]
        assert len(model._workers) == 1
        await fake.models.close()

    asyncio.run(run())


def test_names_of_models_are_no_paths():
    assert list(named(["a/mine", "b/mine/best", "mine", "other"])) == ["mine", "mine-2", "mine-3", "other"]
