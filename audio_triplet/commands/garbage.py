"""Python's collector of circular garbage, as a command needs it."""

import atexit
import gc

# New objects that it waits for, instead of 700; a million of them are TensorFlow's import.
_NEW_OBJECTS = 50_000


def collect_rarely() -> None:
    """Saves a command two seconds: of TensorFlow's import, and of the end of the process.

    The collector looked through all of TensorFlow's objects while they were made, and once more at
    the end, for nothing: what they hold, the system takes back.
    """
    gc.set_threshold(_NEW_OBJECTS, 20, 20)
    atexit.register(gc.freeze)
