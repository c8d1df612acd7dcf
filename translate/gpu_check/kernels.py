"""Every kernel of attention against the formula in double precision.

A kernel sums in another order than the formula, so that neither is exact. The yardstick is the error that the formula
itself has in the kernel's precision.

Letters: B sentences, Q and K queries and keys of all sentences, H heads, W their width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, product

import torch
from torch import Tensor

from translate.batch import Tokens
from translate.device import Precision
from translate.gpu_check import NO_CUDA, Check, relative_error
from translate.models.attention import Weighting, attend, make_attention_mask
from translate.training.parallel import decide_training

WIDTHS = (32, 64, 80, 128, 192, 256)
HEADS = 2
# of one batch: odd ones, powers of two, a single token, none
QUERIES, KEYS = (1, 7, 0, 33, 5, 64), (3, 13, 0, 1, 37, 65)
# too long on average for the kernel of short packed sentences
LONG_QUERIES, LONG_KEYS = (1, 257, 320, 70, 128), (150, 33, 257, 1, 64)
TYPES = {torch.float32: Precision.fp32, torch.bfloat16: Precision.bf16, torch.float16: Precision.fp16}
# Factors of the formula's own error that Dao et al. (2022, FlashAttention) allow in their tests: gradients pass
# through two more products than outputs.
FORWARD, BACKWARD = 2.0, 3.0
# fused kernels use the hardware's exponential (CUDA's ex2.approx: 2^-22), for each weight and for their sum
EXPONENTIAL = 2 * 2.0**-22
DRAWS, RATE = 64, 0.3  # of dropout


@dataclass(frozen=True)
class Case:
    """One kernel with one kind of input.

    kernel  fused, weights (asked for), sigmoid, packed, or packed long (sentences): rows of the table in attend()
    causal  self-attention of a decoder; otherwise cross-attention
    """

    kernel: str
    dtype: torch.dtype
    width: int
    causal: bool

    @property
    def weighting(self) -> Weighting:
        return Weighting.sigmoid if self.kernel == "sigmoid" else Weighting.softmax

    @property
    def is_packed(self) -> bool:
        return self.kernel in ("packed", "packed long")

    @property
    def query_lengths(self) -> Sequence[int]:
        return LONG_QUERIES if self.kernel == "packed long" else QUERIES

    @property
    def key_lengths(self) -> Sequence[int]:
        if self.causal:
            return self.query_lengths
        return LONG_KEYS if self.kernel == "packed long" else KEYS

    def __str__(self) -> str:
        return f"{'causal' if self.causal else 'cross'}, heads {self.width} wide"


@dataclass(frozen=True, eq=False)
class Inputs:
    """Leaves query (Q, H, W), key and value (K, H, W), and the gradient of the output, (Q, H W)."""

    query: Tensor
    key: Tensor
    value: Tensor
    towards: Tensor

    def to(self, dtype: torch.dtype, device: torch.device) -> Inputs:
        """Copies, as leaves of a graph of their own."""
        query, key, value = (x.detach().to(device, dtype).requires_grad_() for x in (self.query, self.key, self.value))
        return Inputs(query, key, value, self.towards.to(device, dtype))

    def results(self, output: Tensor) -> list[Tensor]:
        """The output, and the gradients of query, key and value."""
        return [output.detach(), *torch.autograd.grad(output, (self.query, self.key, self.value), self.towards)]


def kernels(check: Check) -> None:
    """Every kernel of attend() in every precision: outputs and gradients."""
    # TF32 is off: PyTorch's default, which only training changes
    for case in cases(check):
        compare_with_formula(check, case)
    check_weights(check)
    check_dropout(check)
    if not check.can.on_gpu:
        check.leave_out("both kernels of packed sentences, and the GPU's fused ones", NO_CUDA)


def cases(check: Check) -> Iterator[Case]:
    """All cases that the device has a kernel for."""
    for kernel, dtype, width, causal in product(
        ("fused", "weights", "sigmoid", "packed", "packed long"), TYPES, WIDTHS, (True, False)
    ):
        if kernel.startswith("packed") and check.can.on_gpu:
            decision = decide_training(check.device, check.can, precision=TYPES[dtype], head_width=width)
            if not decision.packed:
                # causal and cross alike: one line
                if causal:
                    check.leave_out(f"{kernel}, {TYPES[dtype]}, heads {width} wide", decision.padded_because)
                continue
        yield Case(kernel, dtype, width, causal)


def compare_with_formula(check: Check, case: Case) -> None:
    """Compare the errors of a kernel's output and gradients with those of the formula in the kernel's precision."""
    exact_inputs = draw(case, seed=check.config.seed)
    exact = exact_inputs.results(formula(exact_inputs, case))
    errors = []
    for attention in (kernel_output, formula):
        inputs = exact_inputs.to(case.dtype, check.device)
        # as in training, where masks and scores take the type of autocast
        with torch.autocast(check.device.type, dtype=case.dtype, enabled=case.dtype is not torch.float32):
            output = attention(inputs, case)
        found = inputs.results(output)
        errors.append([relative_error(x, y) for x, y in zip(found, exact, strict=True)])
    for name, error, plain in zip(("output", "gradient", "gradient", "gradient"), *errors, strict=True):
        # a gradient by the scores holds the weights twice: as a factor, and in the sum of its row
        factor, exponentials = (FORWARD, 1) if name == "output" else (BACKWARD, 2)
        # the result is rounded once in any case
        rounding = torch.finfo(case.dtype).eps + exponentials * EXPONENTIAL
        check.compare(f"{case.kernel}, {TYPES[case.dtype]}, {name}", error, factor * plain + rounding, case=str(case))


def draw(case: Case, *, seed: int) -> Inputs:
    """Random inputs in double precision that the kernel's precision holds exactly."""
    generator = torch.Generator().manual_seed(seed)
    queries, keys = sum(case.query_lengths), sum(case.key_lengths)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(case.dtype).double()

    query, key, value = (normal(count, HEADS, case.width).requires_grad_() for count in (queries, keys, keys))
    return Inputs(query, key, value, normal(queries, HEADS * case.width))


def formula(inputs: Inputs, case: Case) -> Tensor:
    """softmax(Q Kᵀ / √W) V, one sentence after the other, (Q, H W); with sigmoid as in attend_reference."""
    sentences = zip(offsets(case.query_lengths), offsets(case.key_lengths), strict=True)
    pieces = []
    for (q0, q1), (k0, k1) in sentences:
        query, key, value = (
            x.transpose(0, 1) for x in (inputs.query[q0:q1], inputs.key[k0:k1], inputs.value[k0:k1])
        )  # (H, queries or keys, W)
        scores = query @ key.transpose(-1, -2) / math.sqrt(case.width)
        visible = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device)
        if case.causal:
            visible = visible.tril()
        if case.weighting is Weighting.sigmoid:
            weights = (scores - visible.sum(-1, keepdim=True).to(scores.dtype).log()).sigmoid().masked_fill(~visible, 0)
        else:
            weights = scores.masked_fill(~visible, -math.inf).softmax(-1)
        pieces.append((weights.to(value.dtype) @ value).transpose(0, 1).flatten(1))
    return torch.cat(pieces)


def offsets(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Start and end of each sentence when all lie end to end."""
    return list(pairwise(accumulate(lengths, initial=0)))


def kernel_output(inputs: Inputs, case: Case, *, dropout_rate: float = 0.0) -> Tensor:
    """attend() on packed or padded sentences, with the masks that models make; outputs of real queries, (Q, H W)."""
    device = inputs.query.device
    if case.is_packed:
        queries, keys = (packed_tokens(lengths).to(device) for lengths in (case.query_lengths, case.key_lengths))
        mask = make_attention_mask(queries, keys, causal=case.causal)
        return attend(inputs.query, inputs.key, inputs.value, mask)[0]
    queries, query, keys, key, value = padded(inputs, case)
    output, _ = attend(
        query,
        key,
        value,
        make_attention_mask(queries, keys, causal=case.causal),
        weighting=case.weighting,
        return_weights=case.kernel == "weights",
        dropout_rate=dropout_rate,
    )
    assert queries.mask is not None
    # with padding, times 0: if it is not finite, neither are the gradients of a model's weights
    return output[queries.mask] + 0 * output[~queries.mask].float().mean().to(output.dtype)


def padded(inputs: Inputs, case: Case) -> tuple[Tokens, Tensor, Tokens, Tensor, Tensor]:
    """Tokens and (B, H, longest, W) of queries, then of keys, and values; padding is far from all else."""
    sides = [Tokens.pad([[0] * n for n in lengths]).to(inputs.query.device) for lengths in (QUERIES, case.key_lengths)]

    def rows(x: Tensor, tokens: Tokens) -> Tensor:
        assert tokens.mask is not None
        filled = x.new_full((*tokens.ids.shape, HEADS, case.width), 3.0)
        return filled.index_put((tokens.mask,), x).transpose(1, 2)

    queries, keys = sides
    return queries, rows(inputs.query, queries), keys, rows(inputs.key, keys), rows(inputs.value, keys)


def packed_tokens(lengths: Sequence[int]) -> Tokens:
    """Sentences end to end, followed by empty ones, as a batch with room for more has them."""
    return Tokens.pack([[0] * n for n in lengths], total=sum(lengths), room=len(lengths) + 3)


def check_weights(check: Check) -> None:
    """The weights that attend() returns are those of its output: the output is their product with the values."""
    for kernel, causal in product(("weights", "sigmoid"), (True, False)):
        case = Case(kernel, torch.float32, 64, causal)
        queries, query, keys, key, value = padded(draw(case, seed=check.config.seed).to(case.dtype, check.device), case)
        mask = make_attention_mask(queries, keys, causal=causal)
        output, weights = attend(query, key, value, mask, weighting=case.weighting, return_weights=True)
        assert weights is not None
        product_with_values = (weights.double() @ value.double()).transpose(1, 2).flatten(-2)
        # a sum of 65 products, each rounded: √65 roundings if they are independent
        tolerance = math.sqrt(max(KEYS)) * torch.finfo(case.dtype).eps
        check.compare(
            f"{kernel}, returned weights", relative_error(product_with_values, output), tolerance, case=str(case)
        )


def check_dropout(check: Check) -> None:
    """Dropout of weights keeps the mean of the output, and the backward pass has the mask of the forward pass."""
    for causal in (True, False):
        case = Case("fused", torch.float32, 64, causal)
        exact = formula(draw(case, seed=check.config.seed), case).detach()
        inputs = draw(case, seed=check.config.seed).to(case.dtype, check.device)
        torch.manual_seed(check.config.seed)
        draws = []
        for _ in range(DRAWS):
            output = kernel_output(inputs, case, dropout_rate=RATE)
            [gradient] = torch.autograd.grad(output, inputs.value, inputs.towards)
            output, gradient, value, towards = (
                x.detach().double().cpu() for x in (output, gradient, inputs.value, inputs.towards)
            )
            draws.append(output)
            # the output is linear in the values, so that ⟨dV, V⟩ = ⟨dO, O⟩ if both passes have one mask
            error = float((gradient * value).sum() - (towards * output).sum()) / float(output.norm() * towards.norm())
            check.compare("dropout, mask of the backward pass", abs(error), 1e-5, case=str(case))
        sample = torch.stack(draws)  # (DRAWS, Q, H W)
        # Distance from the exact output in standard errors: its mean square is near 1, DRAWS / (DRAWS - 3) of a normal
        # sample. Without the factor 1 / (1 - RATE) it would be above 10.
        distance = (sample.mean(0) - exact) / (sample.std(0) / math.sqrt(DRAWS))
        check.compare("dropout, mean square of the bias", float(distance.square().mean()), 2.0, case=str(case))
