"""Score translations by COMET: a script for a Python with unbabel-comet, which imports nothing of this project."""

import json
import sys


def main() -> None:
    """Answer the request on standard input; see comet.py."""
    request = json.load(sys.stdin)
    answer_to, sys.stdout = sys.stdout, sys.stderr  # libraries print progress to standard output
    try:
        from importlib.metadata import version

        from comet import download_model, load_from_checkpoint  # type: ignore[import-not-found]
        from torch.cuda import is_available
    except ImportError as error:
        sys.exit(f"{error}: install unbabel-comet there: {sys.executable} -m pip install unbabel-comet")
    model = load_from_checkpoint(download_model(request["model"]))
    scores = []
    for lines in request["systems"]:
        rows = zip(request["source"], lines, request["reference"], strict=True)
        data = [{"src": source, "mt": line, "ref": reference} for source, line, reference in rows]
        found = model.predict(data, batch_size=16, gpus=int(is_available()), num_workers=0)
        scores.append([float(value) for value in found["scores"]])
    json.dump({"scores": scores, "version": version("unbabel-comet")}, answer_to)


if __name__ == "__main__":
    main()
