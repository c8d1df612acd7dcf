"""Clients that attack the connection: slow, malformed, endless or too many requests, answers that are not read."""

import socket

import httpx
import pytest
from starlette.responses import Response

from fake_service import fake_app, write_fake_model
from live_service import eventually, live
from translate.serving.addresses import subscriber_of
from translate.serving.config import LimitConfig
from translate.serving.server import listen

HEAD = b"GET /health HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = write_fake_model(tmp_path_factory.mktemp("models") / "one")
    with live(fake_app(folder, limits=LimitConfig(seconds=1, body=1 << 16))) as found:
        yield found


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
    # after a second; a body's refusal is sent then, and what follows it is read for another one
    assert service.seconds_until_closed(begin, drip, most=20) < 20


def test_answers_do_not_wait_for_the_client_to_acknowledge_their_heads():
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()[:2]):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_answers_that_no_client_reads_are_dropped(tmp_path):
    app = fake_app(write_fake_model(tmp_path / "one"), limits=LimitConfig(seconds=1))
    app.add_api_route("/large", lambda: Response(bytes(1 << 24)))
    with live(app) as service, service.connect() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(8) == b"HTTP/1.1"
        assert service.connections == 1
        assert eventually(lambda: service.connections == 0)


def test_connections_beyond_the_limit_get_no_answer_and_cost_nothing(tmp_path):
    close = HEAD + b"Connection: close\r\n\r\n"
    with live(fake_app(write_fake_model(tmp_path / "one"), limits=LimitConfig(connections=2))) as service:
        idle = [service.connect() for _ in range(4)]
        assert eventually(lambda: service.connections == 4)
        assert service.answer(close) == b""
        idle.pop().close()
        assert eventually(lambda: service.status(close) == b"503")
        for connection in idle:
            connection.close()
        assert eventually(lambda: service.status(close) == b"200")


def test_a_wrong_key_is_refused_before_the_body_arrives(tmp_path):
    app = fake_app(write_fake_model(tmp_path / "one"), require_key=True)
    wrong, length = b"Authorization: Bearer wrong\r\n", b"Content-Length: 1000\r\n\r\n"
    with live(app) as service:
        for head in (POST + wrong + length, POST.replace(b"/translate", b"/v1/translate") + length):
            with service.connect() as connection:
                connection.sendall(head)
                assert connection.recv(12) == b"HTTP/1.1 403"


@pytest.mark.parametrize(("proxies", "status"), [([], b""), (["10.1.1.1", "127.0.0.0/8"], b"200")])
def test_one_address_cannot_have_all_connections(tmp_path, proxies, status):
    app = fake_app(write_fake_model(tmp_path / "one"), limits=LimitConfig(connections_per_address=2))
    with live(app, proxies=proxies) as service, service.connect(), service.connect():
        assert eventually(lambda: service.connections == 2)
        assert service.status(HEAD + b"Connection: close\r\n\r\n") == status


def test_a_network_of_ipv6_belongs_to_one_client():
    assert subscriber_of("2001:db8:1:2:3:4:5:6") == subscriber_of("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert subscriber_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert [subscriber_of(each) for each in ("192.0.2.1", "/run/socket")] == ["192.0.2.1", "/run/socket"]


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
    with live(fake_app(write_fake_model(tmp_path / "one"), limits=limits)) as service:
        with service.connect() as first:
            first.sendall(POST + b"Content-Length: 9000\r\n\r\n" + b" " * 4000)
            close = b"Connection: close\r\nContent-Length: 2000\r\n\r\n" + b" " * 2000
            assert eventually(lambda: service.status(POST + close) == b"429")
        # the first client has left, and its bytes are free
        assert eventually(lambda: service.status(POST + close) == b"400")


def test_a_stop_waits_until_translated_documents_are_fetched(tmp_path):
    app = fake_app(write_fake_model(tmp_path / "one"))
    token = app.state.service.downloads.add("a.txt", b"A DOG")
    with live(app) as service:
        address = f"http://127.0.0.1:{service.port}"
        assert eventually(lambda: httpx.get(f"{address}/ready").status_code == 200)
        service.stop()
        assert eventually(lambda: httpx.get(f"{address}/ready").status_code == 503)
        fields = {"source": "en", "target": "de"}
        refused = httpx.post(f"{address}/translate_file", files={"file": ("b.txt", b"b")}, data=fields)
        assert (refused.status_code, "about to stop" in refused.json()["error"]) == (503, True)
        assert not service.has_ended
        assert httpx.get(f"{address}/download_file/{token}").content == b"A DOG"
        assert eventually(lambda: service.has_ended)
