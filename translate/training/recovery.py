"""Recovery from divergence, by four measures in turn:

1. An update is skipped if its loss or gradient is not finite, or far above recent ones (a spike).
2. After run.max_skipped skipped updates in a row, or as many losses far above that of uniform guessing, training rolls
   back to the newest state before them, and continues with another order of the data.
3. Further roll-backs also halve the learning rate.
4. After recovery.roll_backs roll-backs the run ends; a file lists the pairs of the first update that failed.

The device itself skips updates (found_inf in training/step.py), so that the CPU does not wait for it. The limits must
therefore be known when an update is launched: they follow from the results up to the update before the last, as the
last one may still be running. A spike is thus never detected after it has changed the weights.

All that is decided here follows from numbers that are summed over all processes, and from the main process's view of
state/, so that processes decide alike; and it is part of the state, so that a killed run recovers in the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from translate.data.dataset import TokenizedCorpus
from translate.data.loader import DataPosition, Update, UpdateStream
from translate.errors import DivergedError
from translate.folders import remove_directory
from translate.text import write_lines
from translate.training.config import TrainConfig
from translate.training.progress import RunProgress
from translate.training.saved_states import STATE_FILES, saved_states
from translate.training.spikes import SpikeLimits, far_loss, spike_limits
from translate.training.state import Snapshot, TrainState
from translate.training.state_folder import StateFolder, read_progress
from translate.training.tracking import Reporter

logger = logging.getLogger(__name__)
SOUND_UPDATES = 1000  # updates beyond the step of the last divergence, after which the count of roll-backs is reset


class Recovery:
    """Reaction of a run to updates that are skipped, or whose loss is far above that of uniform guessing.

    is_trial  the run is a trial of a sweep, which fails if its settings diverge instead of recovering with others
    """

    def __init__(
        self,
        config: TrainConfig,
        corpus: TokenizedCorpus,
        state: TrainState,
        states: StateFolder,
        batches: UpdateStream,
        *,
        is_trial: bool,
    ):
        self._config, self._corpus, self._state, self._states = config, corpus, state, states
        self._batches, self._file = batches, states.path.parent / "diverged.tsv"
        self._roll_backs = 0 if is_trial else config.recovery.roll_backs
        self._positions: dict[int, DataPosition] = {}  # of the last updates
        # until there is a state on disk, training returns to the initial weights
        self._start: Snapshot | None = None
        if self._roll_backs and not states.newest:
            self._start = state.snapshot([state.of_process()])

    def limits(self, update: Update, fraction_done: float) -> Callable[[int], SpikeLimits]:
        """Limits of the next update, by the number of its target tokens on all processes."""
        config, progress = self._config, self._state.progress
        step = progress.step + 1
        self._positions[step] = update.position
        # twice as many as can fail in a row, since results come one update late
        self._positions.pop(step - 2 * config.run.max_skipped - 2, None)
        # by the second save there is a state from before whatever happens then
        if step > 2 * config.run.save_every:
            self._start = None
        # losses change with the mix of corpora and the auxiliary losses
        kind = [update.position.phase, sum(fraction_done >= loss.start for loss in config.auxiliary.values())]
        if progress.kind != kind:
            progress.kind, progress.kind_since = kind, step
        # without the result of the last update, which may or may not be known
        known = [values for values in progress.recent if progress.kind_since <= values[0] <= step - 2]
        return partial(spike_limits, known, config.recovery.spike_distance)

    @property
    def is_needed(self) -> bool:
        """True after too many updates in a row that were skipped, or whose loss was far above that of guessing."""
        progress = self._state.progress
        return max(progress.skipped_in_a_row, progress.far_in_a_row) >= self._config.run.max_skipped

    def roll_back(self, reporter: Reporter) -> None:
        """Roll back to the newest state before the divergence, or to the start.

        Raises DivergedError after recovery.roll_backs returns in a row, and where there is nothing to return to.
        """
        state, states, former = self._state, self._states, self._state.progress
        kept = self._discard()
        # counted from 0 again only well beyond the step that was reached then, so that returns come to an end
        in_a_row = former.roll_backs_in_a_row if former.step < former.diverged_step + SOUND_UPDATES else 0
        if in_a_row >= self._roll_backs or not (kept or self._start):
            raise self._error(kept)
        reason = f"step {state.counted:,}: training has diverged: {self._describe()}"
        if kept:
            states.restore_newest(state)
        else:
            assert self._start is not None
            state.restore(self._start, rank=0)
        state.progress = rolled_back(state.progress, former, in_a_row=in_a_row + 1)
        self._batches.close()
        self._batches.seek(state.progress.position)
        states.newest, states.overdue = kept, False
        if kept:
            states.write(state)
        rate = f" and {state.progress.rate_factor:g} of the learning rate" if in_a_row else ""
        logger.warning(
            f"{reason}; back to step {state.step:,} with another order of the data{rate} "
            f"(return {in_a_row + 1} of {self._roll_backs}, recovery.roll_backs)"
        )
        reporter.rolled_back(state)

    def require_sound(self) -> None:
        """Raise DivergedError if the run has reached its end while it diverges."""
        if self.is_needed:
            raise self._error(self._discard())

    def _discard(self) -> int:
        """Remove the states saved since the divergence; the step of the newest that is left, on every process."""
        states = self._states
        states.wait()  # a state that is being written is judged as well
        kept = discard_diverged(states, self._state.progress) if states.world.is_main else 0
        return int(states.world.from_main(kept))

    def _describe(self) -> str:
        progress = self._state.progress
        if progress.skipped_in_a_row < self._config.run.max_skipped:
            return f"the loss was above twice that of uniform guessing in {progress.far_in_a_row} updates in a row"
        spiked = ", or far above those before it," if progress.spikes else ""
        return f"the loss or gradient was not finite{spiked} in {progress.skipped_in_a_row} updates in a row"

    def _error(self, kept: int) -> DivergedError:
        """The error that ends the run; kept: step of the newest state that is left."""
        progress, config = self._state.progress, self._config
        if self._states.world.is_main:
            self._write_pairs()
        rate = config.optimizer.learning_rate * progress.rate_factor
        returns = f", after {progress.roll_backs} returns to earlier states" if progress.roll_backs else ""
        outcome = (
            f"continues from step {kept:,}" if kept else "starts from scratch, because no state had been saved before"
        )
        return DivergedError(
            f"training has diverged: {self._describe()} (run.max_skipped), the last one at step "
            f"{self._state.counted:,}{returns}. The pairs of the first one are in {self._file}. Lower "
            f"optimizer.learning_rate ({rate:g}) or set a longer warm-up (schedule.warmup_steps): the same command "
            f"with, for example, optimizer.learning_rate={rate / 4:g} {outcome} in run.dir={config.run.dir}"
        )

    def _write_pairs(self) -> None:
        """Write the pairs of the first failed update, of all processes, as a table: a cause may be seen in them."""
        if not self._positions:
            return
        progress = self._state.progress
        is_skipped = progress.skipped_in_a_row >= self._config.run.max_skipped
        first = progress.last_success + 1 if is_skipped else self._state.counted - progress.far_in_a_row + 1
        step = max(first, min(self._positions))
        corpus = self._corpus
        lines = ["\t".join(("step", "batch", "pair", "source_tokens", "target_tokens", "source", "target"))]
        for number, pairs in enumerate(self._batches.pairs(self._positions[step])):
            sizes = corpus.source_lengths[pairs].tolist(), corpus.target_lengths[pairs].tolist()
            for pair, *row in zip(pairs.tolist(), *sizes, *corpus.texts(pairs), strict=True):
                # a TAB inside a text would start a column
                cells = [str(cell).replace("\t", " ") for cell in (step, number, pair, *row)]
                lines.append("\t".join(cells))
        write_lines(self._file, lines)


def rolled_back(restored: RunProgress, former: RunProgress, *, in_a_row: int) -> RunProgress:
    """The progress of an earlier state, with what has to outlive the return to it."""
    count = former.roll_backs + 1
    return replace(
        restored,
        position=replace(restored.position, order=count),
        # the model in best/ stays, even if it is from a later step
        best=former.best,
        best_loss=former.best_loss,
        best_step=former.best_step,
        session=former.session,
        stale=restored.stale if restored.best_step == former.best_step else 0,
        skipped=former.skipped,
        spikes=former.spikes,
        divided=former.divided,
        skipped_in_a_row=0,
        far_in_a_row=0,
        roll_backs=count,
        roll_backs_in_a_row=in_a_row,
        diverged_step=former.step,
        rate_factor=former.rate_factor if in_a_row == 1 else former.rate_factor / 2,
    )


def discard_diverged(states: StateFolder, progress: RunProgress) -> int:
    """Remove the states that were saved after training had diverged; the step of the newest left, 0 for none.

    A state goes if no update has succeeded since, or if its training loss was far above that of uniform guessing.
    """
    # weights can be ruined some updates before the first number that is not finite
    most = far_loss(states.vocab_size)
    # newest first, up to the first from before the divergence: what stays is what a new session continues from
    for folder in reversed(saved_states(states.path)):
        saved = read_progress(folder)
        if saved.step < progress.last_success and not (saved.loss or 0.0) > most:
            return saved.step
        remove_directory(folder, owned=STATE_FILES)
    return 0
