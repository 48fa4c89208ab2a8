"""Reading a file in a process of its own, which its decoder may crash.

The four functions of `reading` go through `survivable`: it notes what is being decoded, see
`audio_triplet.crashes`, and what crashed a process once is read by another one, which sends the
samples. If that dies, the file is an `AudioError` like any other.
That process runs `answer`: a call as JSON in; JSON lines, and samples after them, out.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any, ParamSpec, TypeVar, cast

import numpy as np

from audio_triplet import crashes
from audio_triplet.audio.decoder import AudioInfo
from audio_triplet.audio.files import printable
from audio_triplet.audio.read_log import ReadLog
from audio_triplet.errors import AudioError

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def survivable(read: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Makes a function of `reading` note what it decodes, and decode apart what is suspect.

    Args:
      read: Takes a path, and gives samples, a generator of samples, or an `AudioInfo`.
    """
    decode = cast("Callable[..., Any]", read)

    @functools.wraps(read)
    def call(path: Any, *arguments: Any, **named: Any) -> Any:
        if crashes.is_idle():
            return decode(path, *arguments, **named)
        if crashes.is_suspect(path):
            (found,) = _read_apart(read.__name__, path, arguments, named)
            return found
        with crashes.decoding(path):
            return decode(path, *arguments, **named)

    @functools.wraps(read)
    def generate(path: Any, *arguments: Any, **named: Any) -> Any:
        if crashes.is_idle():
            yield from decode(path, *arguments, **named)
            return
        if crashes.is_suspect(path):
            yield from _read_apart(read.__name__, path, arguments, named)
            return
        with crashes.decoding(path):
            yield from decode(path, *arguments, **named)

    return cast(
        "Callable[_Arguments, _Result]", generate if inspect.isgeneratorfunction(read) else call
    )


def _read_apart(name: str, path: Any, arguments: tuple, named: dict[str, Any]) -> Iterator[Any]:
    """What `reading`'s function of that name gives, read by another process.

    Raises:
      AudioError: As it does; and if the other process crashes.
    """
    log = named.pop("log", None)
    request = json.dumps([name, os.fsdecode(path), arguments, named])
    environment = {k: v for k, v in os.environ.items() if k != crashes.FOLDER_VARIABLE}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with subprocess.Popen(
        [sys.executable, "-c", "from audio_triplet.audio import apart; apart.answer()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(request.encode())
            process.stdin.close()
            while line := process.stdout.readline():
                message = json.loads(line)
                if message.get("end"):
                    if log is not None:
                        log.update(message["decoders"], message["truncated"])
                    return
                part = _received(message, process.stdout, path)
                if part is None:
                    break
                yield part
        except BrokenPipeError:
            pass
        finally:
            process.stdout.close()
            if process.poll() is None and sys.exc_info()[0] is not None:
                process.kill()
    code = process.returncode
    cause = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    crashes.confirm()
    raise AudioError(
        printable(path), f"{crashes.REASON} ({cause})", "convert it to WAV or FLAC, or remove it"
    )


def _received(message: dict[str, Any], file: IO[bytes], path: Any) -> Any:
    """What a message holds; None if its samples break off."""
    if "error" in message:
        reason, fix = message["error"]
        raise AudioError(printable(path), reason, fix)
    if "info" in message:
        return AudioInfo(**message["info"])
    size = 4 * message["samples"]
    data = file.read(size)
    return np.frombuffer(data, np.float32).copy() if len(data) == size else None


def answer() -> None:
    """Does in the other process what `_read_apart` asks for."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    name, path, arguments, named = json.load(sys.stdin)
    read = getattr(importlib.import_module("audio_triplet.audio.reading"), name)
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries may print

    def send(message: dict[str, Any], data: bytes = b"") -> None:
        output.write(json.dumps(message).encode() + b"\n" + data)
        output.flush()

    try:
        log = ReadLog()
        found = read(path, *arguments, **named, log=log)
        for part in [found] if isinstance(found, (np.ndarray, AudioInfo)) else found:
            if isinstance(part, AudioInfo):
                send({"info": dataclasses.asdict(part)})
            else:
                send({"samples": len(part)}, part.tobytes())
        send({"end": True, "decoders": log.decoders, "truncated": log.truncated})
    except AudioError as error:
        send({"error": [error.reason, error.fix]})
