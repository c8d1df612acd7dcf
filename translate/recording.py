"""Recordings of work on a GPU as CUDA graphs, of updates (training/graphed.py) and of decoding steps alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch


class Recorder(Protocol):
    """Records what a function does on the device."""

    def warm_up(self, work: Callable[[], None]) -> None:
        """Call the function, so that libraries and caches are ready to be recorded."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """A function that repeats the work, on the same tensors; nothing is computed now."""

    def forget(self) -> None:
        """Take note that no recording will be repeated any more."""


class CudaRecorder:
    """Records CUDA graphs, which share one pool of memory: their tensors are never in use at one time.

    forbids_waiting  a warm-up in which PyTorch waits for the GPU is an error
    """

    def __init__(self, device: torch.device, *, forbids_waiting: bool = True):
        self._device, self._stream = device, torch.cuda.Stream(device)
        self._sync_debug_mode = "error" if forbids_waiting else "default"
        self.forget()

    def warm_up(self, work: Callable[[], None]) -> None:
        # Not on the default stream, which cannot be recorded: autograd may remember the stream of a gradient. On the
        # very stream of recordings, as handles of cuBLAS and their workspaces belong to a stream.
        current, mode = torch.cuda.current_stream(self._device), torch.cuda.get_sync_debug_mode()
        self._stream.wait_stream(current)
        # what waits for the GPU cannot be recorded: found here it is an error, in a recording it would spoil PyTorch
        torch.cuda.set_sync_debug_mode(self._sync_debug_mode)
        try:
            with torch.cuda.stream(self._stream):
                work()
        finally:
            torch.cuda.set_sync_debug_mode(mode)
            current.wait_stream(self._stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        try:
            # thread_local: the loader's thread may allocate page-locked memory meanwhile
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                work()
        except BaseException:
            # PyTorch leaves a generator in the mode of recordings, and its allocator with a reference to the graph
            generator = torch.cuda.default_generators[torch.cuda.current_device()]
            generator.graphsafe_set_state(generator.clone_state())
            _failed_graphs.append(graph)
            raise
        return graph.replay

    def forget(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()  # one whose graphs are gone cannot be used again


_failed_graphs: list[torch.cuda.CUDAGraph] = []
