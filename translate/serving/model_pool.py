"""The models of the service: found by direction or name, loaded when they are wanted, within a budget of memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path

from translate.data.formats.language_names import same_language
from translate.errors import UserError
from translate.serving.batching import Record
from translate.serving.file_state import FileState
from translate.serving.model_version import ModelVersion, model_files
from translate.serving.options import TranslationOptions
from translate.serving.served_model import ServedModel

_MEMORY_OF_A_PROCESS = 300 << 20  # bytes beside the weights, before a model was ever loaded
_COPIES_OF_WEIGHTS = 2  # while they are read
_PATIENCE = 5.0  # seconds that a busy model may stay while another one is wanted
logger = logging.getLogger(__name__)


class UnknownDirectionError(Exception):
    """No model translates between these languages, or has this name."""


class ModelPool:
    """All models of a service by name, the first of which is preferred where several have one direction.

    budget  bytes of all processes together; 0: unlimited. One model may always be loaded
    """

    def __init__(self, models: Sequence[ServedModel], *, budget: int = 0) -> None:
        self.by_name: Mapping[str, ServedModel] = {model.name: model for model in models}
        self._budget = budget
        self._loading = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._refused: dict[str, tuple[FileState, ...]] = {}  # by name of the model

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self.by_name.values())

    def find(self, source: str, target: str, name: str = "") -> tuple[ServedModel, str, str]:
        """The model of a direction, and the languages as the model spells them. Raises UnknownDirectionError.

        source  "": any
        name    of the model; "": the first that has the direction
        """
        if name and name not in self.by_name:
            raise UnknownDirectionError(f"there is no model {name}; models: {', '.join(self.by_name)}")
        for model in [self.by_name[name]] if name else self:
            for found in model.current.directions:
                if _is_direction(found, source, target):
                    return model, *found
        of_model = f" by {name}" if name else ""
        raise UnknownDirectionError(f"no translation from {source or 'any language'} into {target}{of_model}")

    async def translate(
        self, model: ServedModel, texts: Sequence[Sequence[str]], options: TranslationOptions, request: Hashable
    ) -> list[asyncio.Future[list[Record]]]:
        """Queue texts (ServedModel.translate), and load the model if it is not."""
        found = await model.translate(texts, options, request)
        self._start_loading(model)
        return found

    async def load_all(self) -> None:
        """Load models in their order, as many as the budget has room for. Raises UserError for one that fails."""
        for model in self:
            async with self._loading:
                if self._budget and self._used() + expected_memory(model) > self._budget and self._loaded():
                    logger.info("%s: will be loaded when it is wanted (memory=%d)", model.name, self._budget >> 20)
                elif not model.is_loaded:
                    await model.load()

    async def check_files(self) -> None:
        """Replace models whose files have changed and are complete; call it now and then."""
        for model in self:
            path = Path(model.settings.model)
            files = await asyncio.to_thread(model_files, path)
            if files in (model.current.files, self._refused.get(model.name)):
                continue
            try:
                version = await asyncio.to_thread(ModelVersion.read, path)
                if version.files != await asyncio.to_thread(model_files, path):
                    continue  # still being written
                async with self._loading:
                    if model.is_loaded and version.hash != model.current.hash:
                        await model.replace(version)
                    model.current = version
            except UserError as error:
                self._refused[model.name] = files  # until they change again
                logger.error("%s: its changed files cannot be loaded, the former model stays: %s", model.name, error)

    async def close(self) -> None:
        """End all processes."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await asyncio.gather(*(model.unload() for model in self))

    def _start_loading(self, model: ServedModel) -> None:
        if (not model.is_loaded or self._is_over_budget) and model.name not in self._tasks:
            task = asyncio.create_task(self._load(model))
            self._tasks[model.name] = task
            task.add_done_callback(lambda _: self._tasks.pop(model.name, None))

    async def _load(self, model: ServedModel) -> None:
        async with self._loading:
            if model.is_loaded:  # one has grown
                await self._make_room(0, least=1)
                return
            await self._make_room(expected_memory(model))
            try:
                await model.load()
            except UserError as error:
                logger.error("%s: %s", model.name, error)

    async def _make_room(self, needed: int, *, least: int = 0) -> None:
        """Unload the least recently used models, idle ones first; busy ones are given some seconds to become idle.

        least  number of models that stay
        """
        while self._budget and self._used() + needed > self._budget and len(loaded := self._loaded()) > least:
            if not any(model.queue.is_idle for model in loaded):
                await _first_idle(loaded, seconds=_PATIENCE)
            model = min([each for each in loaded if each.queue.is_idle] or loaded, key=lambda each: each.last_used)
            logger.info("%s: unloaded to make room", model.name)
            await model.unload()
            if model.queue.waiting:  # it gets its turn again, after those that wait now
                self._start_loading(model)

    def _loaded(self) -> list[ServedModel]:
        return [model for model in self if model.is_loaded]

    @property
    def _is_over_budget(self) -> bool:
        """True if models have grown beyond the budget, and another one than the last can be unloaded."""
        return bool(self._budget) and self._used() > self._budget and len(self._loaded()) > 1

    def _used(self) -> int:
        return sum(model.memory for model in self._loaded())


def expected_memory(model: ServedModel) -> int:
    """Bytes that a model's processes take: as before, else estimated from its files."""
    one_process = _MEMORY_OF_A_PROCESS + _COPIES_OF_WEIGHTS * model.current.weight_bytes
    return model.memory or model.processes * one_process


async def _first_idle(models: Sequence[ServedModel], *, seconds: float) -> None:
    """Wait until one of the models has nothing to do, at most so many seconds."""
    waiting = [asyncio.ensure_future(model.queue.join()) for model in models]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def _is_direction(found: tuple[str, str], source: str, target: str) -> bool:
    return (not source or same_language(found[0], source)) and same_language(found[1], target)
