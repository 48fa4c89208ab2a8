"""What native libraries print on their own, which no logging option reaches."""

import contextlib
import ctypes
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import IO

# LiteRT tells of its delegate, TensorFlow's converter of options that it has no use for, MNN of the
# processor.
_CHATTER = re.compile(
    rb"INFO: Created TensorFlow Lite XNNPACK|WARNING: All log messages before absl|W0000 .*Ignored "
    rb"|The device supports: i8sdot|MNN use \w+ precision"
)
_OUTPUTS = (1, 2)

_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Holds back what the process prints; at the end all but known chatter is printed.

    What other threads print meanwhile comes at the end, too: for short work only.
    """
    with _one_at_a_time, contextlib.ExitStack() as stack:
        _flush()
        for output in _OUTPUTS:
            try:
                real = os.dup(output)
            except OSError:  # the process has none
                continue
            held = stack.enter_context(tempfile.TemporaryFile())
            os.dup2(held.fileno(), output)
            stack.callback(_give_back, output, real, held)
        stack.callback(_flush)  # the first to be called
        yield


def _give_back(output: int, real: int, held: IO[bytes]) -> None:
    os.dup2(real, output)
    os.close(real)
    held.seek(0)
    rest = b"".join(line for line in held if not _CHATTER.match(line))
    if rest:
        with contextlib.suppress(OSError):  # nobody reads it any more
            os.write(output, rest)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):  # a broken pipe, closed
                stream.flush()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # of C, where it can be called
        ctypes.CDLL(None).fflush(None)
