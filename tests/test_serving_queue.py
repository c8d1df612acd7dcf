"""The service's queues and models: fair batches, limits, processes that end, versions, a budget of memory."""

import asyncio
import os

import pytest

from fake_service import FakeModels, write_fake_model
from translate.serving import model_pool
from translate.serving.batching import BatchQueue, Job, OverloadedError
from translate.serving.options import TranslationOptions
from translate.serving.served_model import ModelFailedError

PLAIN = TranslationOptions()


def make_jobs(request: str, *lines: str, options: TranslationOptions = PLAIN, alone: bool = False) -> list[Job]:
    return [Job(lines=[line], options=options, request=request, alone=alone) for line in lines]


def lines_of(batch: list[Job]) -> list[str]:
    return [line for job in batch for line in job.lines]


def test_requests_take_turns_in_a_batch():
    async def run() -> None:
        queue = BatchQueue(sentences=4, limit=100)
        await queue.put(make_jobs("long", *"abcdefgh"))
        await queue.put(make_jobs("short", "x", "y"))
        assert lines_of(await queue.take()) == ["a", "x", "b", "y"]
        assert lines_of(await queue.take()) == ["c", "d", "e", "f"]

    asyncio.run(run())


def test_a_batch_has_jobs_of_equal_options_only():
    async def run() -> None:
        queue = BatchQueue(sentences=8, limit=100)
        other = TranslationOptions(n_best=3)
        await queue.put(make_jobs("one", "a", "b"))
        await queue.put(make_jobs("two", "x", options=other))
        await queue.put(make_jobs("three", "c"))
        assert lines_of(await queue.take()) == ["a", "c", "b"]
        assert lines_of(await queue.take()) == ["x"]

    asyncio.run(run())


def test_lines_with_terms_have_smaller_batches():
    async def run() -> None:
        queue = BatchQueue(sentences=6, limit=100)
        terms = TranslationOptions(terms=(("a", "x"), ("B", "y"), ("dog", "Hund")))
        await queue.put(make_jobs("one", "c", "A dog", "b", "a b dog", "c", options=terms))
        assert [lines_of(await queue.take()) for _ in range(2)] == [["c", "A dog", "b"], ["a b dog", "c"]]

    asyncio.run(run())


def test_a_job_that_must_be_alone_is():
    async def run() -> None:
        queue = BatchQueue(sentences=8, limit=100)
        await queue.put(make_jobs("one", "a", alone=True))
        await queue.put(make_jobs("two", "x"))
        assert [lines_of(await queue.take()), lines_of(await queue.take())] == [["a"], ["x"]]

    asyncio.run(run())


def test_a_full_queue_refuses_and_says_when_to_come_again():
    async def run() -> None:
        queue = BatchQueue(sentences=2, limit=3)
        await queue.put(make_jobs("large", *"abcde"))  # nothing waits
        with pytest.raises(OverloadedError) as refused:
            await queue.put(make_jobs("next", "x"))
        assert refused.value.retry_after == 1  # no rate is known yet
        assert queue.waiting == 5
        queue.update_rate(2, seconds=4.0)  # half a line a second
        with pytest.raises(OverloadedError) as refused:
            await queue.put(make_jobs("next", "x"))
        assert refused.value.retry_after == 10

    asyncio.run(run())


def test_cancelled_jobs_are_not_translated():
    async def run() -> None:
        queue = BatchQueue(sentences=4, limit=100)
        left, stays = make_jobs("left", "a", "b"), make_jobs("stays", "x")
        await queue.put([*left])
        await queue.put([*stays])
        for job in left:
            job.result.cancel()
        assert queue.waiting == 1
        assert lines_of(await queue.take()) == ["x"]

    asyncio.run(run())


async def translated(fake: FakeModels, name: str, *lines: str) -> list[str]:
    model = fake.models.by_name[name]
    futures = await fake.models.translate(model, [[line] for line in lines], PLAIN, object())
    return [record["text"] for records in await asyncio.gather(*futures) for record in records]


def test_lines_of_a_process_that_ends_are_translated_by_the_next_one(tmp_path):
    async def run() -> None:
        fake = FakeModels(write_fake_model(tmp_path / "one"))
        await fake.models.load_all()
        fake.started[0].gate.clear()
        waiting = asyncio.ensure_future(translated(fake, "one", *"abcdef"))
        await asyncio.sleep(0.01)
        fake.started[0].has_ended = True
        fake.started[0].gate.set()
        assert await waiting == list("ABCDEF")
        assert len(fake.started) == 2
        assert [len(batch) for batch in fake.started[1].batches[:4]] == [1, 1, 1, 1]  # each might be the reason
        assert b'translate_process_ends_total{model="one"} 1.0' in fake.metrics.text()
        await fake.models.close()

    asyncio.run(run())


def test_a_line_that_ends_every_process_fails_alone(tmp_path):
    async def run() -> None:
        fake = FakeModels(write_fake_model(tmp_path / "one"), ends_at="poison")
        await fake.models.load_all()
        model = fake.models.by_name["one"]
        futures = await fake.models.translate(model, [["a"], ["poison"], ["b"]], PLAIN, "request")
        found = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(each) for each in found] == [list, ModelFailedError, list]
        assert await translated(fake, "one", "c") == ["C"]
        await fake.models.close()

    asyncio.run(run())


def test_changed_files_replace_the_model_without_losing_a_line(tmp_path):
    async def run() -> None:
        folder = write_fake_model(tmp_path / "one")
        fake = FakeModels(folder)
        await fake.models.load_all()
        before = fake.models.by_name["one"].current.hash
        fake.started[0].gate.clear()
        waiting = asyncio.ensure_future(translated(fake, "one", *"abcdef"))
        await asyncio.sleep(0.01)
        (folder / "weights.safetensors").write_bytes(b"others")
        checking = asyncio.ensure_future(fake.models.check_files())
        await asyncio.sleep(0.05)
        fake.started[0].gate.set()
        await checking
        assert await waiting == list("ABCDEF")
        assert fake.models.by_name["one"].current.hash != before
        assert fake.started[0].has_ended
        assert not fake.started[1].has_ended
        await fake.models.check_files()
        assert len(fake.started) == 2  # nothing has changed since
        await fake.models.close()

    asyncio.run(run())


def test_damaged_files_do_not_replace_the_model(tmp_path, caplog):
    async def run() -> None:
        folder = write_fake_model(tmp_path / "one")
        fake = FakeModels(folder)
        await fake.models.load_all()
        (folder / "manifest.json").write_text("{")
        await fake.models.check_files()
        assert "the former model stays" in caplog.text
        assert await translated(fake, "one", "a") == ["A"]
        os.unlink(folder / "model.yaml")
        await fake.models.check_files()
        assert len(fake.started) == 1
        await fake.models.close()

    asyncio.run(run())


def test_models_beyond_the_budget_take_turns(tmp_path):
    async def run() -> None:
        folders = [write_fake_model(tmp_path / name, target=name) for name in ("de", "fr")]
        fake = FakeModels(*folders, budget=1 << 20)  # as large as one
        await fake.models.load_all()
        loaded = {name: model.is_loaded for name, model in fake.models.by_name.items()}
        assert loaded == {"de": True, "fr": False}
        assert await translated(fake, "fr", "a") == ["A"]
        assert [model.is_loaded for model in fake.models] == [False, True]
        found = await asyncio.gather(translated(fake, "de", "b"), translated(fake, "fr", "c"))
        assert found == [["B"], ["C"]]
        await fake.models.close()

    asyncio.run(run())


def test_a_model_that_grows_beyond_the_budget_has_others_unloaded(tmp_path):
    async def run() -> None:
        fake = FakeModels(*(write_fake_model(tmp_path / name, target=name) for name in ("de", "fr")))
        await fake.models.load_all()
        fake.models._budget = 3 << 20
        fake.started[1].grows_to = 4 << 20  # such as by our engine, for terms
        assert await translated(fake, "fr", "a") == ["A"]
        assert [model.memory for model in fake.models] == [1 << 20, 4 << 20]
        assert await translated(fake, "fr", "b") == ["B"]
        await asyncio.gather(*fake.models._tasks.values())
        assert [model.is_loaded for model in fake.models] == [False, True]
        await fake.models.close()

    asyncio.run(run())


def test_a_model_that_is_always_busy_gives_way_after_some_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(model_pool, "_PATIENCE", 0.1)

    async def run() -> None:
        folders = [write_fake_model(tmp_path / name, target=name) for name in ("de", "fr")]
        fake = FakeModels(*folders, budget=1 << 20, sentences=1)
        await fake.models.load_all()

        async def keep_busy() -> None:
            while True:
                await translated(fake, "de", "a")

        busy = [asyncio.create_task(keep_busy()) for _ in range(3)]  # one is translated, two wait
        assert await asyncio.wait_for(translated(fake, "fr", "b"), 5) == ["B"]
        assert await asyncio.wait_for(translated(fake, "de", "c"), 5) == ["C"]
        for task in busy:
            task.cancel()
        await fake.models.close()

    asyncio.run(run())


def test_a_queue_is_idle_once_its_jobs_are_translated_or_cancelled():
    async def run() -> None:
        queue = BatchQueue(sentences=4, limit=100)
        taking = asyncio.ensure_future(queue.take())
        await asyncio.sleep(0)
        (job,) = make_jobs("left", "a")
        await queue.put([job])
        job.result.cancel()
        await asyncio.wait_for(queue.join(), 1)
        await queue.put(make_jobs("stays", "b"))
        assert lines_of(await taking) == ["b"]
        assert not queue.is_idle
        queue.task_done()
        assert queue.is_idle

    asyncio.run(run())
