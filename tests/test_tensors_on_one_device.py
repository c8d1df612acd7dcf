"""No model, loss or search mixes tensors of the CPU with those of the device that it works on.

Without a GPU: on fake CUDA tensors, which have shapes, types and devices but no content, where PyTorch was built with
CUDA; and on meta tensors, which any build has, and which object to some of the mixtures.
"""

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from small_models import MODELS, make_model
from translate.batch import Batch, Tokens
from translate.decoding.config import SearchConfig, SearchMethod
from translate.decoding.native_engine import SEARCHES
from translate.losses import label_smoothed_cross_entropy
from translate.models import kv_cache
from translate.models.seq2seq import Seq2Seq

B, S, T = 3, 6, 5  # sentences, source and target tokens

WITH_CUDA = pytest.mark.skipif(torch.version.cuda is None, reason="PyTorch was built without CUDA")
FAKE = pytest.param("cuda", marks=WITH_CUDA)
on_each_device = pytest.mark.parametrize("device", ["meta", FAKE])
every_model = pytest.mark.parametrize(("name", "settings"), MODELS, ids=str)


@pytest.fixture(autouse=True)
def without_content(monkeypatch):
    """Lengths of sentences are content: an LSTM reads all positions instead. What a test has cached is forgotten."""
    monkeypatch.setattr("translate.models.recurrent.pack_padded_sequence", lambda x, lengths, **_: x)
    monkeypatch.setattr("translate.models.recurrent.pad_packed_sequence", lambda x, **_: (x, None))
    monkeypatch.setattr(Tensor, "cpu", lambda tensor: tensor)
    # as where there is a GPU; PyTorch would switch autocast off
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda *_, **__: True)
    kv_cache.own_slots.cache_clear()
    yield
    kv_cache.own_slots.cache_clear()


def tensors_of(device: str):
    return FakeTensorMode() if device == "cuda" else nullcontext()


def precisions(device: str):
    return [None, torch.float16, torch.bfloat16] if device == "cuda" else [None]


def autocast(device: str, dtype: torch.dtype | None):
    return nullcontext() if dtype is None else torch.autocast(device, dtype=dtype)


@pytest.fixture(autouse=True)
def meta_tensors_know_no_autocast(request, monkeypatch):
    if request.node.callspec.params["device"] == "meta":
        monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: False)
        monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


def moved(model: Seq2Seq, device: str) -> Seq2Seq:
    """The model with parameters and buffers on the device; those that were one stay one."""
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                empty = nn.Parameter(torch.empty(parameter.shape, device=device))
                module._parameters[name] = made.setdefault(id(parameter), empty)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=torch.float32, device=device)
        if isinstance(module, nn.LSTM):
            module._flat_weights = [getattr(module, name) for name in module._flat_weights_names]
    return model


def skip_what_needs_a_driver(model: Seq2Seq, device: str) -> None:
    if device == "cuda" and any(isinstance(module, nn.RNNCellBase) for module in model.modules()):
        pytest.skip("PyTorch has no fake GRU cells for CUDA")
    if device == "cuda" and not torch.cuda.is_available() and any(isinstance(m, nn.RNNBase) for m in model.modules()):
        pytest.skip("cuDNN's LSTM asks for a driver")


def integers(device: str, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.int64, device=device)


def padded(device: str, length: int) -> Tokens:
    mask = torch.empty(B, length, dtype=torch.bool, device=device)
    return Tokens(integers(device, B, length), integers(device, B, length), mask, None, length)


def packed(device: str, length: int) -> Tokens:
    offsets = torch.empty(B + 1, dtype=torch.int32, device=device)
    return Tokens(integers(device, B * length), integers(device, B * length), None, offsets, length)


def loss_of(model: Seq2Seq, source: Tokens, target: Tokens) -> Tensor:
    labels = integers(target.ids.device.type, *target.ids.shape)
    output = model(Batch(source, target, labels, B * T, B * S))
    return label_smoothed_cross_entropy(output.hidden, output.weight, labels, smoothing=0.1)[0]


@on_each_device
@every_model
def test_a_training_pass(name, settings, device):
    for dtype in precisions(device):
        model = make_model(name, **settings)
        skip_what_needs_a_driver(model, device)
        with tensors_of(device), autocast(device, dtype):
            model = moved(model, device)
            if device == "cuda":
                model.train()  # with dropout; that of a CPU has masks on the CPU
            loss = loss_of(model, padded(device, S), padded(device, T))
        assert loss.device.type == device
        assert loss.dtype == torch.float32
        if device == "meta" or torch.cuda.is_available():  # gradients of fake tensors need the driver
            with tensors_of(device):
                loss.backward()
            assert all(p.grad is None or p.grad.device.type == device for p in model.parameters())


@pytest.mark.parametrize("device", [FAKE])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary", "none"])
def test_a_pass_over_packed_sentences(positions, device):
    for dtype in (torch.float16, torch.bfloat16):
        model = make_model("transformer", positions=positions)
        with tensors_of(device), autocast(device, dtype):
            model = moved(model, device)
            assert loss_of(model, packed(device, S), packed(device, T)).device.type == device


@on_each_device
@every_model
@torch.no_grad()
def test_steps_of_every_search(name, settings, device):
    for method in SEARCHES:
        # on a CPU a beam search looks whether any hypothesis has ended: content, which meta tensors lack
        if device != "meta" or method not in (SearchMethod.beam, SearchMethod.diverse_beam):
            for dtype in precisions(device):
                model = make_model(name, **settings)
                skip_what_needs_a_driver(model, device)
                with tensors_of(device), autocast(device, dtype):
                    take_steps(moved(model, device), SearchConfig(method=method, beam_size=2), device)


def take_steps(model: Seq2Seq, config: SearchConfig, device: str) -> None:
    kv_cache.own_slots.cache_clear()  # of another fake mode
    search = SEARCHES[config.method].start([[5, 6, 3]] * B, integers(device, B), config)
    state = model.start(model.encode(padded(device, S)))
    for _ in range(3):
        logits, state = model.step(search.last_tokens, state)
        search, parents = search.advance(logits)
        if parents is not None:
            state = state.reorder(parents)
    other = model.start(model.encode(padded(device, S + 1)))
    hypotheses = integers(device, B, 2 if config.method is SearchMethod.beam else 1)
    _, other = model.step(integers(device, B), other)
    state = state.replace(integers(device, B), other.reorder(hypotheses))
    assert logits.device.type == search.last_tokens.device.type == device
    model.step(search.last_tokens, state)
