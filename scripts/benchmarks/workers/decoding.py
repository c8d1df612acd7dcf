"""What the workers that translate share: how requests are answered and what is timed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.protocol import Channel, Message

Ids = list[int]
Setting = dict[str, Any]
Sentence = TypeVar("Sentence")

_WARMUP_SENTENCES = 4


def serve_decoding(
    channel: Channel,
    translate: Callable[[list[Sentence], int, Setting], list[Any]],
    *,
    read: Callable[[Ids], Sentence],
    write: Callable[[Any], Ids],
) -> None:
    """Answer {"setting": …, "beam": k, "limit": n, "one_by_one": bool, "outputs": bool} requests.

    translate gets sentences as `read` makes them of source ids without EOS; of what it gives, `write` makes target ids.
    Only translate is timed, after some sentences that are not.
    """
    sentences = [read(ids) for ids in json.loads(Path(channel.settings["sentences"]).read_text())]
    known: set[tuple[str, int]] = set()

    def answer(request: Message) -> Message:
        setting, beam = request["setting"], request["beam"]
        chosen = sentences[: request.get("limit") or len(sentences)]
        work = [[sentence] for sentence in chosen] if request.get("one_by_one") else [chosen]
        if (key := (json.dumps(setting, sort_keys=True), beam)) not in known:
            for some in work[:_WARMUP_SENTENCES]:
                translate(some[:_WARMUP_SENTENCES], beam, setting)
            known.add(key)
        seconds, found = [], []
        for some in work:
            started = time.perf_counter()
            found += translate(some, beam, setting)
            seconds.append(time.perf_counter() - started)
        outputs = {"outputs": [write(result) for result in found]} if request.get("outputs") else {}
        return {"seconds": sum(seconds), "each": seconds, "sentences": len(chosen), **outputs}

    channel.serve(answer)
