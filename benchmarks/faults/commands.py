"""Runs this package's commands in processes of their own that share one import of TensorFlow.

    with Commands() as commands:
        command = commands.start("experiments.train_embedding", ["--corpus=…", …], log)
        command.signal(signal.SIGKILL)
        command.wait()

A server imports everything and starts nothing; each command is a fork of it that runs the module as
`python -m` would. A start takes a hundredth of a second instead of five, so that dozens of commands
can be killed.
"""

import json
import os
import signal
import subprocess
import sys
import time

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Command:
    """A running command.

    Attributes:
      pid: Its process, which leads a process group of its own.
      log: File with its output.
      returncode: As of `subprocess`; None while it runs.
    """

    def __init__(self, commands: "Commands", pid: int, log: str):
        self._commands, self.pid, self.log = commands, pid, log
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        if self.returncode is None:
            self.returncode = self._commands.ask({"poll": self.pid})
        return self.returncode

    def wait(self, seconds: float = 3600.0) -> int | None:
        """Waits for its end, at most `seconds`; the exit code, None if it still runs."""
        end = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        return self.returncode

    def signal(self, number: int) -> bool:
        """Sends a signal; returns whether it was still running."""
        if self.poll() is not None:
            return False
        os.kill(self.pid, number)
        return True

    @property
    def text(self) -> str:
        """Its output so far."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()


class Commands:
    """The server that commands are forked from; a context manager."""

    def __init__(self):
        environment = os.environ | {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
            "PYTHONPATH": _ROOT,
        }
        self._server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.faults.commands"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=_ROOT,
            env=environment,
        )
        self._started: list[Command] = []

    def __enter__(self) -> "Commands":
        return self

    def __exit__(self, *exception) -> None:
        for command in self._started:
            command.signal(signal.SIGKILL)
        self._server.stdin.close()
        self._server.wait()

    def start(
        self,
        module: str,
        arguments: list[str],
        log: str,
        *,
        environment: dict[str, str] | None = None,
        user: int | None = None,
    ) -> Command:
        """Starts `python -m MODULE ARGUMENTS`.

        Args:
          module: The command.
          arguments: Its arguments.
          log: File for its output.
          environment: Environment variables to set.
          user: User and group to run as; only root may set it.
        """
        pid = self.ask(
            {
                "module": module,
                "arguments": arguments,
                "log": log,
                "environment": environment or {},
                "user": user,
            }
        )
        self._started.append(Command(self, pid, log))
        return self._started[-1]

    def ask(self, request: dict):
        """Sends a request to the server and returns its answer."""
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())


def _serve() -> None:
    import encodings.utf_8_sig  # noqa: F401  Another user may not read Python's own files.
    import gc
    import runpy

    gc.disable()  # it would look through all of TensorFlow, again and again
    import keras  # noqa: F401
    import pandas  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import soundfile  # noqa: F401
    import soxr  # noqa: F401
    import tensorflow  # noqa: F401

    gc.collect()
    gc.freeze()  # or each command would take a second to collect it all when it ends
    gc.enable()
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if not answer:
                break
        print(json.dumps(answer), flush=True)
    else:
        return
    # The command, as if Python had just started.
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(nothing), os.close(log)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
    os.environ.update(request["environment"])
    if request["user"] is not None:
        os.setgroups([])
        os.setgid(request["user"])
        os.setuid(request["user"])
    sys.argv = [request["module"], *request["arguments"]]
    sys.orig_argv = [sys.executable, "-m", *sys.argv]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve()
