"""What every script shares: flags made from configuration dataclasses, and how errors are told."""

import contextlib
import errno
import os
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from absl import app, flags, logging

from audio_triplet.errors import AudioTripletError, Interrupted

STARTED = time.monotonic()
"""When the program began: scripts import this module before anything that takes long."""

# Flags defined here on behalf of a script are the script's: its --help lists them.
flags.disclaim_key_flags()


def start(module: str, define_flags, main) -> None:
    """Runs a command, whether `python -m` started it or its installed name.

    Args:
      module: The script's `__name__`.
      define_flags: Defines its flags; called once.
      main: Called with the arguments that are no flags.
    """
    before = set(flags.FLAGS)
    define_flags()
    if module != "__main__":  # then absl's --help knows neither its text nor its flags
        sys.modules["__main__"].__doc__ = sys.modules[module].__doc__
        for name in set(flags.FLAGS) - before:
            flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    app.run(main)


def quiet_tensorflow() -> None:
    """Keeps TensorFlow's chatter off the terminal, unless the user asks for it.

    To be called by scripts before they import TensorFlow; TF_CPP_MIN_LOG_LEVEL=0 shows it all.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3":
        inside = f"{os.sep}tensorflow{os.sep}"
        logging.get_absl_handler().addFilter(
            lambda record: (
                record.levelno >= logging.converter.STANDARD_WARNING
                or inside not in record.pathname
            )
        )


@contextlib.contextmanager
def clear_errors(program: str):
    """Turns the errors a user can mend into one line and exit code 1; others keep their trace.

    Ctrl-C and SIGTERM end in one line as well, which says how to go on, and in exit code 130; a
    second one ends the process at once. A long job may take the signals itself for a while, see
    `training.run`.

    Args:
      program: Name to begin the line with.
    """
    handlers, end_watch = {}, lambda: None
    if threading.current_thread() is threading.main_thread():  # signals come to no other
        handlers = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
        _on_stop(_raise_interrupted)
        end_watch = _end_at_second_signal()
    try:
        yield
    except KeyboardInterrupt as stop:
        told = str(stop) or _STOPPED
        print(f"{program}: {told}: {_command_line()}", file=sys.stderr, flush=True)
        # Threads of others (decoders, workers) must not keep alive what was asked to end; Python's
        # own handlers would wait for them as well.
        if handlers:
            handlers = dict.fromkeys(_STOP_SIGNALS, signal.SIG_DFL)
            _end_soon()
        raise SystemExit(130) from stop
    except Exception as error:
        if _is_full(error):
            raise SystemExit(
                f"{program}: no space left on the disk; free some and run the same command again, "
                "what is finished is kept"
            ) from error
        if _for_the_user(error):
            raise SystemExit(f"{program}: {error}") from error
        trouble = _trouble_with_a_file(error)
        if not trouble:
            raise
        raise SystemExit(
            f"{program}: {trouble}; mend that and run the same command again, what is finished is "
            "kept"
        ) from error
    finally:
        end_watch()
        for number, handler in handlers.items():
            signal.signal(number, handler)


_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STOPPED = "stopped; what is finished is kept, the same command continues"
_SECONDS_TO_END = 25


def _on_stop(handler) -> None:
    """Installs a handler for the signals that ask for an end."""
    for number in _STOP_SIGNALS:
        signal.signal(number, handler)


def _raise_interrupted(number, frame):
    del number, frame
    _end_soon()
    raise Interrupted(_STOPPED)


def _end_soon() -> None:
    """Lets the system end the process after a while, should nothing else do so."""
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(signal.alarm(0) or _SECONDS_TO_END)


def _end_at_second_signal() -> Callable[[], None]:
    """Ends the process at the second signal, even while the main thread is in a long call.

    Python runs handlers between two steps of the main thread only, and a call into TensorFlow is
    one step. The signals' numbers come through a pipe, to a thread.

    Returns:
      What ends the watch.
    """
    source, target = os.pipe()
    os.set_blocking(target, False)
    before = signal.set_wakeup_fd(target, warn_on_full_buffer=False)

    def watch():
        seen = 0
        while number := os.read(source, 1):
            seen += number[0] in _STOP_SIGNALS
            if seen == 2:
                os._exit(128 + number[0])
        os.close(source)

    threading.Thread(target=watch, daemon=True).start()

    def end():
        signal.set_wakeup_fd(before)
        os.close(target)

    return end


def _is_full(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is a full disk: TensorFlow tells it only in words."""
    return any(
        getattr(one, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or _FULL.search(str(one))
        for one in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what caused it, what caused that, …: each once, for one may be its own cause."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


_FULL = re.compile("No space left|Disk quota exceeded")

# How TensorFlow's kernels tell what the system said: by types of their own, and in these words.
_TROUBLE = re.compile(
    r"(\S+); (Read-only file system|Permission denied|No such file or directory|Not a directory"
    r"|Input/output error|Stale file handle|Operation not permitted)"
)


def _trouble_with_a_file(error: Exception) -> str | None:
    """What the system said of a file, if that is why a kernel of TensorFlow failed."""
    for one in _chain(error):
        told = type(one).__module__.startswith("tensorflow") and _TROUBLE.search(str(one))
        if told:
            return f"{told[1]}: {told[2]}"
    return None


def _for_the_user(error: Exception) -> bool:
    """Whether its message was made to be read: one of ours, or one of the file system's."""
    return isinstance(error, (AudioTripletError, OSError)) or _is_from_tensorflows_files(error)


def _is_from_tensorflows_files(error: Exception) -> bool:
    """Whether tf.io.gfile raised it, which has no OSErrors but types of its own."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename.endswith("file_io.py")


def _command_line() -> str:
    return shlex.join([os.path.basename(sys.executable), *sys.orig_argv[1:]])
