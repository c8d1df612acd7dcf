"""python -m translate.serve: its options, and a start that fails."""

import re
import stat

import pytest

from fake_service import write_fake_model
from translate.errors import UserError
from translate.serve import ServeConfig, open_log, serve
from translate.serving.config import LimitConfig, ServingEngine
from translate.serving.model_process import ModelProcess
from translate.serving.server import listen


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "name a model: model=runs/mine"),
        ({"model": "runs/none"}, "runs/none.*no such folder"),
        ({"model": "m", "port": 70000}, "port .70000."),
        ({"model": "m", "host": ""}, "host is empty"),
        ({"model": "m", "proxies": ["10.0.0.0/8", "::1", "*", "proxy.local"]}, "proxies: proxy.local is no address"),
        ({"model": "m", "log": "a", "samples": "a"}, "samples names that file"),
        ({"model": "m", "processes": 0}, "processes .0. must be at least 1"),
        ({"model": "m", "sample_share": 1.5}, "sample_share"),
        ({"model": "m", "require_key": True}, "require_key=true needs keys=FILE"),
        ({"model": "m", "limits": LimitConfig(queue=0)}, "limits.queue .0. must be at least 1"),
        ({"new_key": "alice"}, "keys=FILE"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        serve(ServeConfig(**options))


def test_a_new_key_is_printed_and_its_hash_is_kept(tmp_path, capsys):
    file = tmp_path / "keys.yaml"
    serve(ServeConfig(new_key="alice", keys=str(file)))
    key = capsys.readouterr().out.strip()
    assert len(key) == 32
    assert re.fullmatch(r'- name: "alice"\n  sha256: "[0-9a-f]{64}"\n', file.read_text())


def test_a_model_that_cannot_be_loaded_ends_the_service(tmp_path, monkeypatch):
    async def refuse(settings):
        raise UserError(f"model={settings.model}: no memory")

    monkeypatch.setattr(ModelProcess, "_start", refuse)
    folder = write_fake_model(tmp_path / "one")
    with pytest.raises(UserError, match="one: no memory"):
        serve(ServeConfig(model=str(folder), port=0, engine=ServingEngine.native, log=str(tmp_path / "log")))


def test_samples_which_hold_texts_are_for_their_owner_alone(tmp_path):
    with open_log(str(tmp_path / "samples"), mode=0o600):
        assert stat.S_IMODE((tmp_path / "samples").stat().st_mode) == 0o600


def test_a_port_that_is_taken_is_told():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"host=127.0.0.1 port={port}: Address already in use"):
            listen("127.0.0.1", port)
