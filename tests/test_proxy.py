"""The service behind nginx with deploy/nginx.conf: TLS, addresses of clients, streams, limits, errors."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI

from fake_service import fake_app, write_fake_model
from live_service import live
from translate.serving.batching import Record
from translate.serving.config import LimitConfig
from translate.serving.options import TranslationOptions

CONFIG = Path(__file__).parent.parent / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
pytestmark = pytest.mark.skipif(not (NGINX and shutil.which("openssl")), reason="nginx and openssl are not installed")


@dataclass
class Proxy:
    """A running nginx; app: the service of fake models behind it."""

    port: int
    certificate: Path
    app: FastAPI

    def request(
        self, method: str, path: str, body: str = "", client: str = "127.0.0.1", **headers: str
    ) -> http.client.HTTPResponse:
        """Send a request from an address of a client."""
        connection = http.client.HTTPSConnection(
            "localhost",
            self.port,
            context=ssl.create_default_context(cafile=self.certificate),
            timeout=10,
            source_address=(client, 0),
        )
        connection.request(
            method, path, body, FORM | {name.replace("_", "-"): value for name, value in headers.items()}
        )
        return connection.getresponse()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    app = fake_app(
        write_fake_model(folder / "en-de"), limits=LimitConfig(requests_per_minute=5, body=1 << 21), sentences=1
    )
    with live(app, proxies=["127.0.0.1"]) as service:
        port = free_port()
        write_configuration(folder, port=port, plain_port=free_port(), service=service.port)
        command = [NGINX, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
        process = subprocess.Popen([*command, "-g", "daemon off;"])
        try:
            wait_for(port, folder / "error.log")
            yield Proxy(port, folder / "cert.pem", app)
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def write_configuration(folder: Path, *, port: int, plain_port: int, service: int) -> None:
    """The configuration with free ports and a certificate of its own, in a configuration of nginx."""
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    words += ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem", "-subj", "/CN=localhost"]
    subprocess.run(
        ["openssl", *words, "-addext", "subjectAltName=DNS:localhost"], check=True, stderr=subprocess.DEVNULL
    )
    text = CONFIG.read_text()
    for name, value in {
        r"listen \[::\].*": "",
        "listen 443": f"listen 127.0.0.1:{port}",
        "listen 80": f"listen 127.0.0.1:{plain_port}",
        "127.0.0.1:5000": f"127.0.0.1:{service}",
        "/etc/ssl/translate/fullchain.pem": f"{folder}/cert.pem",
        "/etc/ssl/translate/privkey.pem": f"{folder}/key.pem",
        "translate.example.org": "localhost",
    }.items():
        assert re.search(name, text), name
        text = re.sub(name, value, text)
    (folder / "site.conf").write_text(text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events { worker_connections 64; }\n"
        # the access log is by default in a folder that only root may write to
        f"http {{ access_log off; gzip on; {folders} include {folder}/site.conf; }}\n"
    )


def wait_for(port: int, log: Path) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(log.read_text())


def test_requests_are_translated_and_the_address_of_a_document_is_that_of_the_proxy(proxy):
    answer = proxy.request("POST", "/translate", "q=a+dog&source=en&target=de", client="127.0.0.2")
    assert json.load(answer) == {"translatedText": "A DOG"}
    assert answer.headers["Strict-Transport-Security"]
    assert answer.headers["Content-Security-Policy"]
    parts = ["--b", 'Content-Disposition: form-data; name="file"; filename="a.txt"', "", "a dog", "--b"]
    parts += ['Content-Disposition: form-data; name="source"', "", "en", "--b"]
    parts += ['Content-Disposition: form-data; name="target"', "", "de", "--b--", ""]
    form = {"Content_Type": "multipart/form-data; boundary=b"}
    answer = proxy.request("POST", "/translate_file", "\r\n".join(parts), client="127.0.0.2", **form)
    url = json.load(answer)["translatedFileUrl"]
    address = f"https://localhost:{proxy.port}"
    assert url.startswith(f"{address}/download_file/")
    assert proxy.request("GET", url.removeprefix(address)).read() == b"A DOG"


def test_rates_count_clients_whatever_they_write_into_headers(proxy):
    def statuses(client: str) -> list[int]:
        spoofed = [{"X_Forwarded_For": f"10.0.0.{n}", "X_Real_IP": f"10.0.0.{n}"} for n in range(7)]
        body = "q=a&source=en&target=de"
        return [proxy.request("POST", "/translate", body, client=client, **each).status for each in spoofed]

    assert statuses("127.0.0.3") == [200] * 5 + [429] * 2
    assert statuses("127.0.0.4") == [200] * 5 + [429] * 2
    refused = proxy.request("POST", "/translate", "q=a&source=en&target=de", client="127.0.0.3")
    assert 1 <= int(refused.headers["Retry-After"]) <= 12
    assert "try again" in json.load(refused)["error"]


def test_parts_of_a_stream_arrive_while_the_next_ones_are_translated(proxy, monkeypatch):
    (process,) = proxy.app.state.fake.started
    translate, has_first = process.translate, threading.Event()

    async def translate_slowly(lines: Sequence[str], options: TranslationOptions) -> list[Record]:
        if lines == ["Two."]:
            await asyncio.to_thread(has_first.wait, 20)
        return await translate(lines, options)

    monkeypatch.setattr(process, "translate", translate_slowly)
    body = json.dumps({"text": "One. Two.", "source": "en", "target": "de"})
    start = time.monotonic()
    answer = proxy.request("POST", "/v1/translate/stream", body, client="127.0.0.5", Content_Type="application/json")
    assert json.loads(answer.readline())["text"] == "ONE."
    assert time.monotonic() - start < 15
    has_first.set()
    assert json.loads(answer.readline())["text"] == "TWO."


@pytest.mark.parametrize("path", ["/metrics", "//metrics", "/%6detrics", "/page/../metrics"])
def test_metrics_are_not_for_others(proxy, path):
    answer = proxy.request("GET", path)
    assert answer.status == 404
    assert b"translate_" not in answer.read()


def test_bodies_beyond_the_limit_are_refused_as_the_service_does(proxy):
    answer = proxy.request("POST", "/translate", "q=" + "a" * (1 << 20))
    assert answer.status == 413
    assert json.load(answer) == {"error": "the request is too large"}
