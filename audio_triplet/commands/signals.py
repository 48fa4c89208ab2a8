"""Ctrl-C and SIGTERM: the first raises `Interrupted`, a second one ends the process at once.

What is sent to a group of processes may arrive twice, from the sender and from a supervisor
(`timeout`, `supervisor`): a signal within a moment of another one is the same.
"""

import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType

from audio_triplet.errors import Interrupted

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = "stopped; what is finished is kept, the same command continues"

# How long a stopped process may take to put things in order before the system ends it.
SECONDS_TO_END = 25

# Signals nearer together than this are one.
_MOMENT_SECONDS = 0.2


class StopSignals:
    """A context in which the signals that ask for an end are ours.

    A long job may install handlers of its own inside, see `audio_triplet.training.loop`. Outside of
    the main thread, which alone receives signals, the context does nothing.
    """

    def __enter__(self) -> "StopSignals":
        self._handlers: dict[signal.Signals, object] = {}
        self._watch: _SecondSignal | None = None
        self._stopped_at: float | None = None
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
            for number in STOP_SIGNALS:
                signal.signal(number, self._interrupt)
            self._watch = _SecondSignal()
        return self

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Raises at the first signal; the second one is `_SecondSignal`'s."""
        del number, frame
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
            _set_alarm()
            raise Interrupted(STOPPED)

    def end_soon(self) -> None:
        """Lets nothing keep the process alive after the context.

        Threads of others (decoders, workers) would, and Python's own handlers wait for them too:
        from here on the system ends the process, at a further signal or after a while.
        """
        if self._handlers:
            if self._stopped_at is not None:  # the same signal may come once more
                time.sleep(max(0.0, self._stopped_at + _MOMENT_SECONDS - time.monotonic()))
            self._handlers = dict.fromkeys(STOP_SIGNALS, signal.SIG_DFL)
            _set_alarm()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._watch is not None:
            self._watch.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


class _SecondSignal:
    """Ends the process at the second signal, even while the main thread is in a long call.

    Python runs handlers between two steps of the main thread only, and a call into TensorFlow is
    one step. The signals' numbers therefore come through a pipe, to a thread.
    """

    def __init__(self) -> None:
        source, self._target = os.pipe()
        os.set_blocking(self._target, False)
        self._before = signal.set_wakeup_fd(self._target, warn_on_full_buffer=False)
        threading.Thread(target=_end_at_second_signal, args=(source,), daemon=True).start()

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        os.close(self._target)


def _end_at_second_signal(source: int) -> None:
    first = None
    while number := os.read(source, 1):
        if number[0] in STOP_SIGNALS:
            now = time.monotonic()
            first = now if first is None else first
            if now - first > _MOMENT_SECONDS:
                os._exit(128 + number[0])
    os.close(source)


def _set_alarm() -> None:
    """Lets the system end the process after a while, should nothing else do so."""
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(signal.alarm(0) or SECONDS_TO_END)


def pipe_closed() -> SystemExit:
    """What ends a command of whose output enough was read, as by `| head`: without a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left goes nowhere
    return SystemExit(128 + signal.SIGPIPE)
