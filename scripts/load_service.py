"""Load a translation service with clients that send one text after the other, and report its speed and latency.

    python -m translate.serve model=runs/mine port=5000
    python scripts/load_service.py http://127.0.0.1:5000 --text FILE --source en --target de --clients 1 8 64

Each line is a request. A client that is refused (status 429) waits as long as Retry-After says, unless --impatient.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import ssl
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from translate.text import read_lines

_TIMEOUT = 120  # seconds


@dataclass
class Result:
    """Requests of all clients: numbers by status, "lost" for those without an answer, and seconds of the answered."""

    clients: int
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Figures in seconds; sentences are requests of status 200."""
        ordered = sorted(self.latencies)
        return {
            "clients": self.clients,
            "sentences_per_second": round(len(ordered) / self.seconds, 1),
            "p50": round(quantile(ordered, 0.50), 4),
            "p99": round(quantile(ordered, 0.99), 4),
            "statuses": dict(self.statuses),
        }


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies; 0 of none."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


async def run_client(
    client: httpx.AsyncClient, requests: Iterator[dict[str, str]], result: Result, *, until: float, patient: bool
) -> None:
    """Send requests until the time is over, and wait for the last answer."""
    while time.monotonic() < until:
        start = time.monotonic()
        try:
            answer = await client.post("/translate", json=next(requests))
        except httpx.HTTPError as error:
            result.statuses[f"lost: {type(error).__name__}"] += 1
            continue
        result.statuses[str(answer.status_code)] += 1
        if answer.status_code == httpx.codes.OK:
            result.latencies.append(time.monotonic() - start)
        elif answer.status_code == httpx.codes.TOO_MANY_REQUESTS and patient:
            await asyncio.sleep(float(answer.headers["retry-after"]))


async def load(url: str, requests: list[dict[str, str]], *, clients: int, seconds: float, patient: bool) -> Result:
    """The result of so many clients for so many seconds; each begins with another request."""
    result = Result(clients)
    firsts = [len(requests) * number // clients for number in range(clients)]
    certificates = ssl.create_default_context()
    async with AsyncExitStack() as stack:
        # a pool for each: the time that one pool takes for a request grows with its connections
        pools = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, verify=certificates))
            for _ in range(clients)
        ]
        begin = time.monotonic()
        await asyncio.gather(
            *(
                run_client(
                    pool,
                    itertools.cycle(requests[first:] + requests[:first]),
                    result,
                    until=begin + seconds,
                    patient=patient,
                )
                for pool, first in zip(pools, firsts, strict=True)
            )
        )
        result.seconds = time.monotonic() - begin
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--text", type=Path, required=True, help="file whose lines are sent")
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--impatient", action="store_true", help="send the next line at once after status 429")
    options = parser.parse_args()
    fields = {"source": options.source, "target": options.target}
    requests = [{"q": line, **fields} for line in read_lines(options.text) if line.strip()]
    url, patient = options.url.rstrip("/"), not options.impatient
    for clients in options.clients:
        result = asyncio.run(load(url, requests, clients=clients, seconds=options.seconds, patient=patient))
        print(json.dumps(result.summary()), flush=True)


if __name__ == "__main__":
    main()
