"""PyTorch alone: nn.Transformer in a plain loop, and the fastest matrix product as the machine's ceiling."""

import math
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.protocol import Channel, Message, Slices, run_worker
from benchmarks.work import Corpus, TrainingWork, endless_batches, num_tokens
from translate.gpu_check.peers import PlainTransformer
from translate.models.transformer_config import TransformerConfig

_MAX_LENGTH = 512
_PRODUCTS = {  # M, N, K of products (M, K) x (K, N)
    "cpu": ((1024, 1024, 1024), (2048, 2048, 2048), (4096, 1024, 1024), (4096, 8000, 256)),
    "cuda": ((4096, 4096, 4096), (8192, 8192, 8192)),
}


class WithEmbeddingDropout(PlainTransformer):
    """torch.nn.Transformer with dropout of embeddings, as ours has it."""

    def __init__(self, work: TrainingWork):
        config = TransformerConfig(
            d_model=work.d_model,
            num_heads=work.num_heads,
            ffn_dim=work.ffn_dim,
            encoder_layers=work.layers,
            decoder_layers=work.layers,
            dropout=work.dropout,
            max_length=_MAX_LENGTH,
        )
        super().__init__(config, work.vocab_size)
        self.dropout = nn.Dropout(work.dropout)

    def _embed(self, ids: Tensor) -> Tensor:
        return self.dropout(super()._embed(ids))


def train(settings: Message, channel: Channel) -> None:
    """Batches of similar lengths, or random ones ({"by_length": false})."""
    work = TrainingWork(**settings["work"])
    torch.set_num_threads(work.threads)
    torch.manual_seed(work.seed)
    model = WithEmbeddingDropout(work).to(work.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=work.learning_rate, betas=(0.9, 0.98), eps=1e-9)
    slices = Slices(channel, "torch")
    budget = {"tokens": work.tokens, "by_length": settings.get("by_length", True)}
    # the loop of a tutorial
    for batch in endless_batches(Corpus.load(work.corpus), **budget, seed=work.seed):
        source, target, labels = (side.to(work.device) for side in batch)
        with torch.autocast(work.device, dtype=torch.bfloat16, enabled=work.precision == "bf16"):
            logits = model(source, target)
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=work.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), work.clip_norm)
        optimizer.step()
        loss.item()  # as a tutorial's does, to report it
        if not slices.after_update(num_tokens(batch[-1])):
            return


def matrix_products(settings: Message, channel: Channel) -> None:
    """Answer like a training slice, with FLOPs as its tokens: the fastest of several products made for some seconds."""
    work = TrainingWork(**settings["work"])
    torch.set_num_threads(work.threads)
    dtype = torch.bfloat16 if work.precision == "bf16" else torch.float32

    def fastest(m: int, n: int, k: int, seconds: float) -> Message:
        a, b = (torch.randn(*size, device=work.device, dtype=dtype) for size in ((m, k), (k, n)))
        # the fastest of many, since others use the machine as well
        times, end = [math.inf], time.perf_counter() + seconds
        while time.perf_counter() < end:
            started = time.perf_counter()
            a @ b
            if a.is_cuda:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - started)
        return {"tokens": 2 * m * n * k, "seconds": min(times)}

    def answer(request: Message) -> Message:
        products = _PRODUCTS[work.device]
        found = [fastest(*sizes, request["run"] / len(products)) for sizes in products]
        return max(found, key=lambda product: product["tokens"] / product["seconds"])

    channel.serve(answer, "torch")


if __name__ == "__main__":
    run_worker(train, matrix_products)
