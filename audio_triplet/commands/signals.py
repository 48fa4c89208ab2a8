"""Ctrl-C and SIGTERM: the first raises `Interrupted`, a second one ends the process at once."""

import os
import signal
import threading
from types import FrameType, TracebackType

from audio_triplet.errors import Interrupted

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = "stopped; what is finished is kept, the same command continues"

# How long a stopped process may take to put things in order before the system ends it.
SECONDS_TO_END = 25


class StopSignals:
    """A context in which the signals that ask for an end are ours.

    A long job may install handlers of its own inside, see `audio_triplet.training.loop`. Outside of
    the main thread, which alone receives signals, the context does nothing.
    """

    def __enter__(self) -> "StopSignals":
        self._handlers: dict[signal.Signals, object] = {}
        self._watch: _SecondSignal | None = None
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
            for number in STOP_SIGNALS:
                signal.signal(number, _raise_interrupted)
            self._watch = _SecondSignal()
        return self

    def end_soon(self) -> None:
        """Lets nothing keep the process alive after the context.

        Threads of others (decoders, workers) would, and Python's own handlers wait for them too:
        from here on the system ends the process, at a further signal or after a while.
        """
        if self._handlers:
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
    seen = 0
    while number := os.read(source, 1):
        seen += number[0] in STOP_SIGNALS
        if seen == 2:
            os._exit(128 + number[0])
    os.close(source)


def _raise_interrupted(number: int, frame: FrameType | None) -> None:
    del number, frame
    _set_alarm()
    raise Interrupted(STOPPED)


def _set_alarm() -> None:
    """Lets the system end the process after a while, should nothing else do so."""
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(signal.alarm(0) or SECONDS_TO_END)
