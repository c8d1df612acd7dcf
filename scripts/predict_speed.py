"""Launches and predicted speed of training and decoding on a GPU, computed without one.

    python scripts/predict_speed.py [--models tiny small base big] [--tokens 4096 16384 32768] [--launch-us 10]

Launches are counted on a simulated GPU (translate/gpu_check/simulated_gpu.py), times predicted by a roofline
(translate/gpu_check/roofline.py).
"""

from __future__ import annotations

import argparse

from translate.config.calls import configured
from translate.console import markdown_table
from translate.decoding.config import SearchConfig
from translate.gpu_check.roofline import H100, predict
from translate.gpu_check.simulated_gpu import replayed_step_work, steps_work, update_work
from translate.train import ADDITIONS, CHOICES
from translate.training.config import TrainConfig


def settings(model: str) -> TrainConfig:
    with configured("train", TrainConfig, {"model": model}, choices=CHOICES, additions=ADDITIONS) as config:
        return config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["tiny", "small", "base", "big"])
    parser.add_argument("--tokens", nargs="+", type=int, default=[4096, 16_384, 32_768])
    parser.add_argument(
        "--launch-us", type=float, default=H100.launch * 1e6, help="microseconds of the host per launch"
    )
    parser.add_argument("--sentences", type=int, default=128, help="of a full batch of decoding")
    arguments = parser.parse_args()
    launch = arguments.launch_us * 1e-6
    updates, steps = [], []
    for model in arguments.models:
        config = settings(model)
        for tokens in arguments.tokens:
            work = update_work(config, tokens=tokens)
            time = predict(work, launch=launch)
            speed, graphed = tokens / time.seconds, tokens / time.device
            cells = [work.launches, f"{1000 * time.device:.1f}", f"{1000 * time.host:.1f}", f"{speed:,.0f}"]
            updates.append([model, f"{tokens:,}", *map(str, cells), f"{graphed:,.0f}"])
        for sentences in (arguments.sentences, 1):
            batch = {"sentences": sentences, "length": 27}
            work = steps_work(config, SearchConfig(beam_size=4), **batch, steps=1)
            time = predict(work, launch=launch)
            replayed = predict(replayed_step_work(config, SearchConfig(beam_size=4), **batch, slots=256), launch=launch)
            cells = [work.launches, f"{1000 * time.device:.2f}", f"{1000 * time.host:.2f}"]
            speeds = [f"{sentences / seconds:,.0f}" for seconds in (time.seconds, replayed.device)]
            cells += [speeds[0], f"{1000 * replayed.device:.2f}", speeds[1]]
            steps.append([model, str(sentences), *map(str, cells)])
    columns = ["launches", "device, ms", "host, ms"]
    print(markdown_table(["model", "tokens", *columns, "tokens/s", "without launches"], updates))
    print()
    graphed = ["as a graph, ms", "tokens/s"]
    print(markdown_table(["model, a step of beam 4", "sentences", *columns, "tokens/s", *graphed], steps))


if __name__ == "__main__":
    main()
