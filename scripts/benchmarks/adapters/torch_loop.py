"""PyTorch alone: nn.Transformer in a plain loop, and the fastest matrix product as the machine's ceiling."""

import math
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.protocol import Channel, Message, Slices, run_worker
from benchmarks.work import PAD, Corpus, TrainingWork, endless_batches, num_tokens
from translate.models.layers import sinusoids

_MAX_LENGTH = 512
_PRODUCTS = {  # M, N, K of products (M, K) x (K, N)
    "cpu": ((1024, 1024, 1024), (2048, 2048, 2048), (4096, 1024, 1024), (4096, 8000, 256)),
    "cuda": ((4096, 4096, 4096), (8192, 8192, 8192)),
}


class PlainTransformer(nn.Module):
    """PyTorch's own Transformer (pre-norm, like ours), with tied and scaled embeddings and sinusoidal positions."""

    def __init__(self, work: TrainingWork):
        super().__init__()
        self.embedding = nn.Embedding(work.vocab_size, work.d_model, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=work.d_model**-0.5)
        self.dropout = nn.Dropout(work.dropout)
        layers = (work.layers, work.layers, work.ffn_dim, work.dropout)
        self.transformer = nn.Transformer(work.d_model, work.num_heads, *layers, batch_first=True, norm_first=True)
        self.positions = nn.Buffer(sinusoids(_MAX_LENGTH, work.d_model))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits (B, T, V) of source (B, S) and target (B, T)."""
        length = target.shape[1]
        padding = source == PAD
        hidden = self.transformer(
            self._embed(source),
            self._embed(target),
            tgt_mask=torch.ones(length, length, dtype=torch.bool, device=target.device).triu(1),
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
            tgt_is_causal=True,
        )
        return F.linear(hidden, self.embedding.weight)

    def _embed(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids) * math.sqrt(self.embedding.embedding_dim)
        return self.dropout(x + self.positions[: ids.shape[1]])


def train(settings: Message, channel: Channel) -> None:
    """Batches of similar lengths, or random ones ({"by_length": false})."""
    work = TrainingWork(**settings["work"])
    torch.set_num_threads(work.threads)
    torch.manual_seed(work.seed)
    model = PlainTransformer(work).to(work.device)
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
