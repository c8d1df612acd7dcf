"""A model in its process: what a real service translates, and what happens when the process is killed."""

import asyncio
import os
import signal
from dataclasses import replace

import pytest

from trained_model import trained_model
from translate import load_model
from translate.decoding.search.config import SearchMethod
from translate.errors import UserError
from translate.serving.child_process import ChildProcess, ProcessEndedError
from translate.serving.config import ServingEngine
from translate.serving.model_process import ModelProcess, ModelSettings
from translate.serving.options import TranslationOptions

LINES = ["1 2 3", "", "4 5", "7 8 9 1"]


def settings(model: str) -> ModelSettings:
    return ModelSettings(model=model, engine=ServingEngine.native, decoding={"threads": 1}, beam_size=3)


def test_a_process_translates_like_the_model_and_ends_with_its_input():
    async def run() -> None:
        process = await ModelProcess.start(settings(str(trained_model())))
        assert process.facts["engine"] == "native"
        records = await process.translate(LINES, TranslationOptions(n_best=2))
        details = await process.translate(LINES[:1], TranslationOptions(details=True))
        begun = await process.translate(LINES[:1], TranslationOptions(prefix="3"))
        with pytest.raises(UserError, match="beam_size"):  # more than the vocabulary has
            await process.translate(LINES, TranslationOptions(n_best=1000))
        await process.stop()
        with pytest.raises(ProcessEndedError):
            await process.translate(LINES, TranslationOptions())
        model = load_model(trained_model(), threads=1)
        search = replace(model.search, method=SearchMethod.beam, beam_size=3, n_best=2)
        expected = model.translations(LINES, search=search)
        assert [record["text"] for record in records] == [each.text for each in expected]
        assert [len(record["nbest"]) for record in records] == [2] * 4
        assert len(details[0]["tokens"]) == details[0]["features"]["target_tokens"] + 1
        assert begun[0]["text"].startswith("3")

    asyncio.run(run())


def test_a_killed_process_and_one_that_cannot_load_are_told(tmp_path):
    async def run() -> None:
        process = await ChildProcess.start("translate.serving.worker")
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(ProcessEndedError, match="signal 9"):
            await process.ask({})
        with pytest.raises(UserError, match="no such folder"):
            await ModelProcess.start(settings(str(tmp_path / "none")))

    asyncio.run(run())


def test_a_process_that_needed_pytorch_for_its_start_alone_is_replaced(monkeypatch):
    class Started:
        def __init__(self, has_needless_torch):
            self.facts, self.has_ended = {"has_needless_torch": has_needless_torch}, False

        async def stop(self):
            self.has_ended = True

    async def start(settings):
        return next(starting)

    first, second = Started(True), Started(False)
    starting = iter([first, second])
    monkeypatch.setattr(ModelProcess, "_start", start)
    assert asyncio.run(ModelProcess.start(settings("m"))) is second
    assert (first.has_ended, second.has_ended) == (True, False)
