"""What a person at a terminal sees of any command: plain log lines, and errors in one line."""

import contextlib
import errno
import logging as stdlib_logging
import os
import re
import sys
import time
from collections.abc import Iterator

from absl import flags, logging

from audio_triplet.commands import signals
from audio_triplet.errors import AudioTripletError

# When the program began: commands import this module before anything that takes long.
STARTED = time.monotonic()


_TALKATIVE = ("tensorflow", "botocore", "aiobotocore")


class _PlainFormatter(stdlib_logging.Formatter):
    """The message alone; what is worse than information is marked."""

    def format(self, record: stdlib_logging.LogRecord) -> str:
        text = super().format(record)
        if record.levelno >= stdlib_logging.WARNING:
            return f"{record.levelname.lower()}: {text}"
        return text


def set_up_logging() -> None:
    """Makes log lines plain and keeps TensorFlow's own off the terminal.

    `main` calls it before TensorFlow is imported. With --verbosity log lines have time, thread,
    file and line. TF_CPP_MIN_LOG_LEVEL=0 shows TensorFlow's.
    """
    handler = logging.get_absl_handler()
    if "verbosity" not in flags.FLAGS or not flags.FLAGS["verbosity"].present:
        handler.setFormatter(_PlainFormatter())
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3":
        handler.addFilter(_is_worth_showing)


def _is_worth_showing(record: stdlib_logging.LogRecord) -> bool:
    """Whether a log line is a warning, or neither TensorFlow's nor that of S3's library."""
    is_others = any(f"{os.sep}{name}{os.sep}" in record.pathname for name in _TALKATIVE)
    return record.levelno >= stdlib_logging.WARNING or not is_others


@contextlib.contextmanager
def clear_errors(program: str) -> Iterator[None]:
    """Turns errors that a user can fix into one line and exit code 1; others keep their traceback.

    `AudioTripletError` decides which those are; the file system's own errors are added. Ctrl-C and
    SIGTERM end in one line as well, which says how to continue, and in exit code 130; a second one
    ends the process at once.

    Args:
      program: Name to begin the line with.
    """
    with signals.StopSignals() as stop_signals:
        try:
            yield
        except KeyboardInterrupt as stop:
            from audio_triplet import provenance  # late, so that a command starts at once

            text = str(stop) or signals.STOPPED
            print(f"{program}: {text}: {provenance.command()}", file=sys.stderr, flush=True)
            stop_signals.end_soon()
            raise SystemExit(130) from stop
        except BrokenPipeError:
            raise signals.pipe_closed() from None
        except Exception as error:
            message = message_for_the_user(error)
            if message is None:
                raise
            raise SystemExit(f"{program}: {message}") from error


def message_for_the_user(error: Exception) -> str | None:
    """An error as one line for the user; None if it is a defect of ours."""
    if _is_full_disk(error):
        return (
            "no space left on the disk; free some and run the same command again, what is finished "
            "is kept"
        )
    if isinstance(error, (AudioTripletError, OSError)) or _is_from_gfile(error):
        return str(error)
    file_error = _file_error(error)
    if file_error is not None:
        return f"{file_error}; fix that and run the same command again, what is finished is kept"
    return None


_FULL = re.compile("No space left|Disk quota exceeded")

# How TensorFlow's kernels pass on what the system said: with types of their own, in these words.
_TROUBLE = re.compile(
    r"(\S+); (Read-only file system|Permission denied|No such file or directory|Not a directory"
    r"|Input/output error|Stale file handle|Operation not permitted)"
)


def _is_full_disk(error: BaseException) -> bool:
    """Whether an error, or its cause, is a full disk, which TensorFlow reports only as text."""
    return any(
        getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or _FULL.search(str(cause))
        for cause in _causes(error)
    )


def _file_error(error: BaseException) -> str | None:
    """What the system said of a file, if that is why a kernel of TensorFlow failed."""
    for cause in _causes(error):
        found = _TROUBLE.search(str(cause))
        if found and type(cause).__module__.startswith("tensorflow"):
            return f"{found[1]}: {found[2]}"
    return None


def _is_from_gfile(error: BaseException) -> bool:
    """Whether tf.io.gfile raised it, which has no OSErrors but types of its own."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename.endswith("file_io.py")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, its cause, the cause of that, …: each once, for an error may be its own cause."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
