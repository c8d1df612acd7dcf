"""engine=auto: CTranslate2 where it translates like our engine, compared once for each model."""

import pytest

from trained_model import trained_model
from translate.decoding.config import DecodingConfig, EngineName
from translate.errors import UserError
from translate.serving import worker
from translate.serving.config import ServingEngine
from translate.serving.engine_choice import choose_engine

pytest.importorskip("ctranslate2")


class Engines:
    """Engines whose translations of one line may differ; calls: engines that were asked."""

    def __init__(self, *, differ: bool = False, refusal: str = "") -> None:
        self.differ, self.refusal = differ, refusal
        self.calls: list[EngineName] = []

    def __call__(self, engine, lines):
        self.calls.append(engine)
        if engine is EngineName.ctranslate2 and self.refusal:
            raise UserError(self.refusal)
        is_other = self.differ and engine is EngineName.ctranslate2
        return [*lines[:-1], "other" if is_other else lines[-1]]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSLATE_CACHE", str(tmp_path))
    return tmp_path


def choose(engines, path=None):
    return choose_engine(path or str(trained_model()), DecodingConfig(), beam_size=0, translate=engines)


@pytest.mark.parametrize(
    ("engines", "chosen"),
    [
        (Engines(), EngineName.ctranslate2),
        (Engines(differ=True), EngineName.native),  # one line of twenty
        (Engines(refusal="it has no such layers"), EngineName.native),
    ],
)
def test_engines_are_compared_once(engines, chosen):
    assert [choose(engines), choose(engines)] == [chosen] * 2
    assert engines.calls == [EngineName.native, EngineName.ctranslate2]


def test_without_lines_to_compare_nothing_is_cached(cache, caplog):
    engines = Engines()
    assert choose(engines, str(cache)) is EngineName.native
    assert "engine=ctranslate2 may be faster" in caplog.text
    assert not engines.calls
    assert not list(cache.rglob("*.json"))


def test_a_comparison_opens_each_engine_once_and_the_chosen_one_serves(monkeypatch):
    opened = []

    def open_engine(paths, config):
        opened.append(config.engine)
        return original(paths, config)

    original = worker.open_engine
    monkeypatch.setattr(worker, "open_engine", open_engine)
    settings = {
        "model": str(trained_model()),
        "engine": ServingEngine.auto,
        "decoding": {"threads": 1},
        "beam_size": 0,
    }
    model = worker.open_model(settings)
    assert sorted(opened) == [EngineName.ctranslate2, EngineName.native]
    worker.open_model(settings)
    assert opened[2:] == [model.describe()["engine"]]
