"""LibreTranslate's own client in Python, unchanged, against the service."""

from urllib.error import HTTPError

import pytest
from libretranslatepy import LibreTranslateAPI

from fake_service import fake_app, write_fake_model
from live_service import live
from translate.serving.api_keys import new_key, read_keys
from translate.serving.config import LimitConfig


def test_the_client_translates_detects_and_lists_languages(tmp_path):
    folders = [write_fake_model(tmp_path / "en-de"), write_fake_model(tmp_path / "de-en", source="de", target="en")]
    with live(fake_app(*folders)) as service:
        client = LibreTranslateAPI(f"http://127.0.0.1:{service.port}")
        assert client.translate("One is here.\n\nTwo & three.", "en", "de") == "ONE IS HERE.\n\nTWO & THREE."
        assert client.translate("Das ist ein altes Haus.", "auto", "en") == "DAS IST EIN ALTES HAUS."
        assert client.detect("Das ist ein altes Haus, und dort steht ein Hund.")[0]["language"] == "de"
        assert client.languages()[0] == {"code": "en", "name": "English", "targets": ["de"]}


def test_the_client_sends_its_key(tmp_path):
    file = str(tmp_path / "keys.yaml")
    key = new_key("alice", file)
    keys = read_keys(file, LimitConfig())
    with live(fake_app(write_fake_model(tmp_path / "one"), keys=keys, require_key=True)) as service:
        address = f"http://127.0.0.1:{service.port}/"
        assert LibreTranslateAPI(address, key).translate("a", "en", "de") == "A"
        with pytest.raises(HTTPError, match="403"):
            LibreTranslateAPI(address, "wrong").translate("a", "en", "de")
