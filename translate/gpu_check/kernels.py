"""Every kernel of attention against the formula in double precision.

A kernel sums in another order than the formula, and both round. The error of a kernel is therefore compared with the
error of the formula in the kernel's precision.

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
# sentence lengths of one batch: odd numbers, powers of two, a single token, none
QUERIES, KEYS = (1, 7, 0, 33, 5, 64), (3, 13, 0, 1, 37, 65)
# lengths whose mean is above the limit of the kernel for short packed sentences
LONG_QUERIES, LONG_KEYS = (1, 257, 320, 70, 128), (150, 33, 257, 1, 64)
TYPES = {torch.float32: Precision.fp32, torch.bfloat16: Precision.bf16, torch.float16: Precision.fp16}
# Multiples of the formula's error that the tests of FlashAttention (Dao et al. 2022) allow: gradients pass through two
# more products than outputs.
FORWARD, BACKWARD = 2.0, 3.0
# fused kernels use the hardware's exponential (CUDA's ex2.approx: 2^-22), for each weight and for their sum
EXPONENTIAL = 2 * 2.0**-22
DRAWS, RATE = 64, 0.3  # of dropout


@dataclass(frozen=True)
class Case:
    """One kernel with one kind of input.

    kernel  row of the table in attend(): fused, weights (returned), sigmoid, packed, or packed long (sentences)
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
    """Inputs of attention as leaves of autograd, and the gradient of the loss with respect to its output.

    query (Q, H, W), key and value (K, H, W), output_gradient (Q, H W)
    """

    query: Tensor
    key: Tensor
    value: Tensor
    output_gradient: Tensor

    def to(self, dtype: torch.dtype, device: torch.device) -> Inputs:
        """Copies that are leaves of their own autograd graph."""
        query, key, value = (x.detach().to(device, dtype).requires_grad_() for x in (self.query, self.key, self.value))
        return Inputs(query, key, value, self.output_gradient.to(device, dtype))

    def output_and_gradients(self, output: Tensor) -> list[Tensor]:
        """The output, and the gradients of query, key and value."""
        leaves = (self.query, self.key, self.value)
        return [output.detach(), *torch.autograd.grad(output, leaves, self.output_gradient)]


def kernels(check: Check) -> None:
    """Every kernel of attend() in every precision: outputs and gradients."""
    # TF32 is off by default in PyTorch, and only training switches it on
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
                # one line for causal and cross-attention, which are left out for the same reason
                if causal:
                    check.leave_out(f"{kernel}, {TYPES[dtype]}, heads {width} wide", decision.padded_because)
                continue
        yield Case(kernel, dtype, width, causal)


def compare_with_formula(check: Check, case: Case) -> None:
    """Compare the errors of a kernel's output and gradients with those of the formula in the kernel's precision."""
    exact_inputs = random_inputs(case, seed=check.config.seed)
    exact = exact_inputs.output_and_gradients(formula(exact_inputs, case))
    errors = []
    for attention in (kernel_output, formula):
        inputs = exact_inputs.to(case.dtype, check.device)
        # as in training, where masks and scores take the type of autocast
        with torch.autocast(check.device.type, dtype=case.dtype, enabled=case.dtype is not torch.float32):
            output = attention(inputs, case)
        found = inputs.output_and_gradients(output)
        errors.append([relative_error(x, y) for x, y in zip(found, exact, strict=True)])
    for name, error, plain in zip(("output", "gradient", "gradient", "gradient"), *errors, strict=True):
        # the gradient of the scores contains the weights twice: as a factor, and in the sum of a row
        factor, exponentials = (FORWARD, 1) if name == "output" else (BACKWARD, 2)
        # plus one rounding of the result
        rounding = torch.finfo(case.dtype).eps + exponentials * EXPONENTIAL
        check.compare(f"{case.kernel}, {TYPES[case.dtype]}, {name}", error, factor * plain + rounding, case=str(case))


def random_inputs(case: Case, *, seed: int) -> Inputs:
    """Random inputs in double precision that are exact in the kernel's precision."""
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
    """Start and end of each sentence in packed sentences."""
    return list(pairwise(accumulate(lengths, initial=0)))


def kernel_output(inputs: Inputs, case: Case, *, dropout_rate: float = 0.0) -> Tensor:
    """attend() on packed or padded sentences, with the masks of models; outputs of real queries, (Q, H W)."""
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
    # include the outputs of padding, times 0: if they are not finite, gradients of a model's weights are not either
    return output[queries.mask] + 0 * output[~queries.mask].float().mean().to(output.dtype)


def padded(inputs: Inputs, case: Case) -> tuple[Tokens, Tensor, Tokens, Tensor, Tensor]:
    """Tokens and tensor of the queries, tokens and tensor of the keys, and the values, padded: (B, H, longest, W).

    Padding has values far from those of real tokens.
    """
    sides = [Tokens.pad([[0] * n for n in lengths]).to(inputs.query.device) for lengths in (QUERIES, case.key_lengths)]

    def rows(x: Tensor, tokens: Tokens) -> Tensor:
        assert tokens.mask is not None
        filled = x.new_full((*tokens.ids.shape, HEADS, case.width), 3.0)
        return filled.index_put((tokens.mask,), x).transpose(1, 2)

    queries, keys = sides
    return queries, rows(inputs.query, queries), keys, rows(inputs.key, keys), rows(inputs.value, keys)


def packed_tokens(lengths: Sequence[int]) -> Tokens:
    """Packed sentences with three empty slots, as batches have when they contain fewer sentences than slots."""
    return Tokens.pack([[0] * n for n in lengths], total=sum(lengths), room=len(lengths) + 3)


def check_weights(check: Check) -> None:
    """The weights that attend() returns belong to its output, which is their product with the values."""
    for kernel, causal in product(("weights", "sigmoid"), (True, False)):
        case = Case(kernel, torch.float32, 64, causal)
        inputs = random_inputs(case, seed=check.config.seed).to(case.dtype, check.device)
        queries, query, keys, key, value = padded(inputs, case)
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
    """Dropout of weights keeps the mean of the output, and the backward pass uses the mask of the forward pass."""
    for causal in (True, False):
        case = Case("fused", torch.float32, 64, causal)
        exact = formula(random_inputs(case, seed=check.config.seed), case).detach()
        inputs = random_inputs(case, seed=check.config.seed).to(case.dtype, check.device)
        torch.manual_seed(check.config.seed)
        outputs = []
        for _ in range(DRAWS):
            output = kernel_output(inputs, case, dropout_rate=RATE)
            [gradient] = torch.autograd.grad(output, inputs.value, inputs.output_gradient)
            output, gradient, value, output_gradient = (
                x.detach().double().cpu() for x in (output, gradient, inputs.value, inputs.output_gradient)
            )
            outputs.append(output)
            # the output is linear in the values: ⟨dV, V⟩ = ⟨dO, O⟩ if both passes use the same mask
            difference = float((gradient * value).sum() - (output_gradient * output).sum())
            error = difference / float(output.norm() * output_gradient.norm())
            check.compare("dropout, mask of the backward pass", abs(error), 1e-5, case=str(case))
        sample = torch.stack(outputs)  # (DRAWS, Q, H W)
        # Distance of the mean from the exact output, in standard errors. Its mean square is DRAWS / (DRAWS - 3) for
        # normal samples, nearly 1; without the factor 1 / (1 - RATE) it would be above 10.
        distance = (sample.mean(0) - exact) / (sample.std(0) / math.sqrt(DRAWS))
        check.compare("dropout, mean square of the bias", float(distance.square().mean()), 2.0, case=str(case))
