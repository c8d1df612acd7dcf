"""The models of the service: found by direction or name, loaded when they are wanted, within a budget of memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path

from translate.data.formats.language_names import same_language
from translate.errors import UserError
from translate.serving.batching import Record
from translate.serving.options import TranslationOptions
from translate.serving.served_model import ModelVersion, ServedModel, Signature, signature_of

_MEMORY_OF_A_PROCESS = 300 << 20  # bytes beside the weights, before a model was ever loaded
_COPIES_OF_WEIGHTS = 2  # while they are read
logger = logging.getLogger(__name__)


class UnknownDirectionError(Exception):
    """No model translates between these languages, or has this name."""


class Models:
    """All models of a service by name, the first of which is preferred where several have one direction.

    budget  bytes of all processes together; 0: unlimited. One model may always be loaded
    """

    def __init__(self, models: Sequence[ServedModel], *, budget: int = 0) -> None:
        self.by_name: Mapping[str, ServedModel] = {model.name: model for model in models}
        self._budget = budget
        self._loading = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._refused: dict[str, Signature] = {}  # by name of the model

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
            signature = await asyncio.to_thread(signature_of, path)
            if signature in (model.current.signature, self._refused.get(model.name)):
                continue
            try:
                version = await asyncio.to_thread(ModelVersion.read, path)
                if version.signature != await asyncio.to_thread(signature_of, path):
                    continue  # still being written
                async with self._loading:
                    if model.is_loaded and version.version != model.current.version:
                        await model.replace(version)
                    model.current = version
            except UserError as error:
                self._refused[model.name] = signature  # until they change again
                logger.error("%s: its changed files cannot be loaded, the former model stays: %s", model.name, error)

    async def close(self) -> None:
        """End all processes."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await asyncio.gather(*(model.unload() for model in self))

    def _start_loading(self, model: ServedModel) -> None:
        if not model.is_loaded and model.name not in self._tasks:
            task = asyncio.create_task(self._load(model))
            self._tasks[model.name] = task
            task.add_done_callback(lambda _: self._tasks.pop(model.name, None))

    async def _load(self, model: ServedModel) -> None:
        async with self._loading:
            await self._make_room(expected_memory(model))
            try:
                await model.load()
            except UserError as error:
                logger.error("%s: %s", model.name, error)

    async def _make_room(self, needed: int) -> None:
        """Unload the models that were not used for the longest time, once they have nothing to do."""
        while self._budget and self._used() + needed > self._budget and self._loaded():
            idle = [model for model in self._loaded() if model.is_idle]
            if not idle:
                await asyncio.sleep(0.05)
                continue
            oldest = min(idle, key=lambda model: model.last_used)
            logger.info("%s: unloaded to make room", oldest.name)
            await oldest.unload()

    def _loaded(self) -> list[ServedModel]:
        return [model for model in self if model.is_loaded]

    def _used(self) -> int:
        return sum(model.memory for model in self._loaded())


def expected_memory(model: ServedModel) -> int:
    """Bytes that a model's processes take: as before, else estimated from its files."""
    weights = sum(
        size for name, _, size, _ in model.current.signature if name.endswith((".safetensors", ".bin", ".onnx"))
    )
    return model.memory or model.processes * (_MEMORY_OF_A_PROCESS + _COPIES_OF_WEIGHTS * weights)


def _is_direction(found: tuple[str, str], source: str, target: str) -> bool:
    return (not source or same_language(found[0], source)) and same_language(found[1], target)
