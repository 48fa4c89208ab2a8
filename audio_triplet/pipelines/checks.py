"""Before a pipeline runs: does every worker see the folder, and has it this program?"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence

from audio_triplet import storage
from audio_triplet.errors import UsageError
from audio_triplet.pipelines import runners
from audio_triplet.pipelines.runners import Parsed

_CONNECT_SECONDS = 20


def _version() -> str:
    # Not by an import at the top: the package itself belongs to the highest layer.
    return importlib.import_module("audio_triplet").__version__


def check(parsed: Parsed, folder: str, inputs: Sequence[str] = ()) -> None:
    """Checks what can be checked before workers start.

    Args:
      parsed: The runner and its options.
      folder: What the workers write to; is there already.
      inputs: Files that they read; a few are enough.

    Raises:
      UsageError: Workers cannot be reached, miss the folder, a file or the program, or have
        another version of it.
    """
    runners.check_java(parsed)
    if parsed.runner.is_apart:
        for path in (folder, *inputs):
            if not storage.is_remote(path):
                raise UsageError(
                    f"{path}: workers of {parsed.runner.name} do not see this machine's disk; "
                    "name an address, such as gs://BUCKET/…, for sound and results"
                )
    if parsed.runner.name == "DaskRunner":
        _check_dask(parsed, folder, inputs)


def _check_dask(parsed: Parsed, folder: str, inputs: Sequence[str]) -> None:
    values = parsed.options.get_all_options()
    address, file = values.get("address"), values.get("scheduler_file")
    if not address and not file:  # Beam starts workers of its own on this machine
        return
    what = f"--dask_client_address={address}" if address else f"--dask_scheduler_file={file}"
    if file and not os.path.exists(file):
        raise UsageError(f"{what}: there is no such file; name the one of `dask scheduler`")
    for worker, answer in _ask_workers(what, address, file, folder, inputs).items():
        _check_answer(worker, answer, folder)


def _ask_workers(
    what: str, address: str | None, file: str | None, folder: str, inputs: Sequence[str]
) -> Mapping[str, dict]:
    """What each worker has and sees, by its address."""
    import distributed

    for name in ("distributed", "distributed.client"):  # what it logs it raises too
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = distributed.Client(
            **({"address": address} if address else {"scheduler_file": file}),
            timeout=_CONNECT_SECONDS,
        )
    except (OSError, TimeoutError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"{what}: no Dask scheduler answers ({reason}); start one by `dask scheduler`, and "
            "`dask worker` on each machine"
        ) from error
    with contextlib.closing(client), _token(folder) as token:
        wanted = [*([token] if token else []), *inputs]
        answers = client.run(_questions(wanted), on_error="return")
    if not answers:
        raise UsageError(f"{what}: no worker has joined; start some by `dask worker {address}`")
    return answers


def _questions(paths: Sequence[str]):
    """A function for workers; it travels by its code, so that they need nothing to run it."""
    local = [path for path in paths if not storage.is_remote(path)]

    def answer() -> dict:
        import importlib
        import os
        import socket

        try:
            version = importlib.import_module("audio_triplet").__version__
        except ImportError:
            version = ""
        return {
            "version": version,
            "host": socket.gethostname(),
            "missing": [path for path in local if not os.access(path, os.R_OK)],
        }

    # By value, not by the name of this module, which a worker without the program could not import.
    answer.__module__ = "__main__"
    return answer


def _check_answer(worker: str, answer: dict | BaseException, folder: str) -> None:
    if isinstance(answer, BaseException):
        raise UsageError(f"worker {worker}: does not answer ({answer}); start it again")
    if not answer["version"]:
        raise UsageError(
            f"worker {worker}: has no audio_triplet; start it from an environment in which "
            f"audio_triplet {_version()} is installed"
        )
    if answer["version"] != _version():
        raise UsageError(
            f"worker {worker}: has audio_triplet {answer['version']}, and this is "
            f"{_version()}; install the same on both"
        )
    if answer["missing"]:
        path = answer["missing"][0]
        shown = folder if os.path.dirname(path) == folder else path
        raise UsageError(
            f"{shown}: worker {worker} on {answer['host']} cannot read it as "
            f"{socket.gethostname()} can; use a folder that all machines share under one name, "
            "or gs://…"
        )


@contextlib.contextmanager
def _token(folder: str) -> Iterator[str]:
    """A file in a folder, for the while; empty where the folder is remote."""
    if storage.is_remote(folder):
        yield ""
        return
    path = os.path.join(folder, f".{uuid.uuid4().hex}.tmp")
    with open(path, "wb"):
        pass
    try:
        yield path
    finally:
        os.unlink(path)
