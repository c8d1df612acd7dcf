"""The model card of an export, from the manifest; publishing on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from translate import __version__
from translate.checkpoint import LoadedModel
from translate.errors import UserError, excerpt, import_extra
from translate.files import read_json
from translate.models.transformer_config import TransformerConfig

CARD = "README.md"
_RESULT = "result.json"
# entries of a manifest, and their titles
_FACTS = {
    "imported": "Begun from",
    "source_language": "Source language",
    "target_language": "Target language",
    "step": "Training steps",
    "trained_tokens": "Longest training lines, tokens",
    "data": "Fingerprint of the training data",
    "tokenizer": "Fingerprint of the tokenizer",
    "commit": "Commit of the program",
}


def model_card(loaded: LoadedModel, config: TransformerConfig, architecture: str) -> str:
    """A model card in Markdown, with the metadata that the hub reads."""
    manifest = loaded.manifest
    languages = [manifest.get(f"{side}_language") for side in ("source", "target")]
    metadata: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "translation",
        "tags": ["translation"],
        "language": [language for language in languages if language],
    }
    direction = " to ".join(language for language in languages if language) or "translation"
    facts = [f"- {title}: {excerpt(manifest[key])}" for key, title in _FACTS.items() if manifest.get(key)]
    size = sum(weight.numel() for weight in loaded.model.parameters())
    lines = [
        "---",
        yaml.safe_dump(metadata, sort_keys=False).strip(),
        "---",
        f"# {direction}",
        "",
        f"A Transformer for translation, exported by translate-seq2seq {__version__} as {architecture}: {size:,} "
        f"weights, width {config.d_model}, {config.encoder_layers} + {config.decoder_layers} layers.",
        "",
        "    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer",
        "",
        '    tokenizer = AutoTokenizer.from_pretrained("PATH")',
        '    model = AutoModelForSeq2SeqLM.from_pretrained("PATH")',
        '    output = model.generate(**tokenizer(["A line."], return_tensors="pt", padding=True))',
        "    print(tokenizer.batch_decode(output, skip_special_tokens=True))",
        "",
        "## Training",
        "",
        *facts,
        *_scores(loaded.directory),
    ]
    return "\n".join(lines) + "\n"


def _scores(directory: Path) -> list[str]:
    """The scores of the run that the model is of, if the run has been scored."""
    path = directory.parent / _RESULT
    summary = read_json(path).get("summary") if path.is_file() else None
    return ["", "## Scores", "", *(f"    {line}" for line in str(summary).splitlines())] if summary else []


def require_login(repository: str) -> None:
    """Raise UserError unless the Hugging Face hub can be reached and knows the user; before work for it begins."""
    with _hub_errors(repository) as hub:
        hub.whoami()


def push(directory: Path, repository: str, *, private: bool = True) -> str:
    """Upload an export to the Hugging Face hub, into a repository that is made if need be; returns its address.

    Raises UserError where the hub refuses, or cannot be reached.
    """
    with _hub_errors(repository) as hub:
        address = hub.create_repo(repository, private=private, exist_ok=True)
        hub.upload_folder(repo_id=repository, folder_path=str(directory))
    return str(address)


@contextmanager
def _hub_errors(repository: str) -> Iterator[Any]:
    """Context with the hub's client, whose errors become UserErrors."""
    huggingface_hub = import_extra("huggingface_hub", extra="huggingface", purpose=f"push={repository}")
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        yield huggingface_hub.HfApi()
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]  # the rest is the server's answer in full
        hint = "log in by hf auth login, or check the name"
        raise UserError(f"push={repository}: the Hugging Face hub refuses it: {excerpt(reason)}; {hint}") from None
