"""What native libraries print on their own, which no logging option reaches."""

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator

# LiteRT tells of its delegate, TensorFlow's converter of options that it has no use for.
_CHATTER = re.compile(
    rb"INFO: Created TensorFlow Lite XNNPACK|WARNING: All log messages before absl|W0000 .*Ignored "
)

_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Holds back the standard error of the process; at the end all but known chatter is printed.

    What other threads print meanwhile comes at the end, too: for short work only.
    """
    with _one_at_a_time, tempfile.TemporaryFile() as held:
        _flush()
        try:
            real = os.dup(2)
        except OSError:  # the process has none
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            _flush()
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            rest = b"".join(line for line in held if not _CHATTER.match(line))
            if rest:
                os.write(2, rest)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
