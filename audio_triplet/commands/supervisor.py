"""Commands that go on after a decoder crashed.

A damaged file may crash libsndfile or FFmpeg, and with it the process. `survive_crashes` lets the
command run in a child process. If that crashes, the same command is begun again, as a user would
begin it; what was being decoded is now decoded in processes of its own (`audio.apart`), and what
crashes there is listed as bad. An ordinary run decodes in its process as ever.

The child dies with its supervisor, and ends with the same status; signals are passed on.

On Linux only; AUDIO_TRIPLET_ONE_PROCESS=1 turns it off, for debuggers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from types import FrameType
from typing import NoReturn

from audio_triplet import crashes
from audio_triplet.commands.signals import STOP_SIGNALS

OFF_VARIABLE = "AUDIO_TRIPLET_ONE_PROCESS"

_CRASHES = {
    signal.Signals[name]
    for name in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL")
    if hasattr(signal, name)
}
# Crashes with nothing to blame that crashes alone as well: then it is not a decoder's.
_MOST_UNEXPLAINED = 3
# Between two looks for crashed processes of the child's.
_LOOK_SECONDS = 5.0
_MOST_NAMED = 3


def survive_crashes(program: str) -> None:
    """Returns in a child process, and never in this one, which ends as the child does.

    Call it before anything heavy is imported, and before there are threads. Where there is no
    supervisor, it returns at once.

    Args:
      program: The command's name, for messages.
    """
    is_wanted = sys.platform == "linux" and not os.environ.get(OFF_VARIABLE)
    if not is_wanted or crashes.FOLDER_VARIABLE in os.environ:
        return
    try:
        folder = tempfile.mkdtemp(prefix="audio_triplet_")
    except OSError:
        return
    _Supervisor(program, folder).run()


class _Supervisor:
    def __init__(self, program: str, folder: str):
        self._program, self._folder = program, folder
        self._suspects: set[bytes] = set()
        self._unexplained, self._confirmed = 0, 0
        self._child, self._is_stopped = 0, False

    def run(self) -> None:
        """Runs the rest of the program in a child, again after each crash; returns in the child."""
        handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        signal.pthread_sigmask(signal.SIG_BLOCK, [*STOP_SIGNALS, signal.SIGCHLD])
        for number in STOP_SIGNALS:
            signal.signal(number, self._pass_on)
        while True:
            sys.stdout.flush()
            sys.stderr.flush()
            supervisor = os.getpid()
            self._child = os.fork()
            if not self._child:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
                _die_with(supervisor)
                os.environ[crashes.FOLDER_VARIABLE] = self._folder
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [*STOP_SIGNALS, signal.SIGCHLD])
                return
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            code = self._wait()
            signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
            if not self._begins_again(code):
                self._end(code)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._is_stopped = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, number)

    def _wait(self) -> int:
        """Waits for the child; the exit code, negative for a signal, as `subprocess` has it.

        A crash of a process of the child's, such as a worker of Beam, which would wait for it
        without end, ends the child.
        """
        seen: set[bytes] = set()
        while True:
            pid, status = os.waitpid(self._child, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            signal.sigtimedwait([signal.SIGCHLD], _LOOK_SECONDS)
            found = crashes.left_behind(self._folder)
            if found & seen and not os.waitpid(self._child, os.WNOHANG)[0]:
                os.kill(self._child, signal.SIGKILL)
                os.waitpid(self._child, 0)
                return -signal.SIGABRT
            seen = found

    def _begins_again(self, code: int) -> bool:
        """Whether the command is to be begun again; if so, all is ready for it."""
        if code not in {-number for number in _CRASHES} or self._is_stopped:
            return False
        found = crashes.left_behind(self._folder) - self._suspects
        confirmed = crashes.confirmed(self._folder)
        self._unexplained = self._unexplained + 1 if confirmed == self._confirmed else 1
        self._confirmed = confirmed
        if not found or self._unexplained > _MOST_UNEXPLAINED:
            return False
        self._suspects |= found
        crashes.begin_again(self._folder, self._suspects)
        names = ", ".join(os.fsdecode(path) for path in sorted(found)[:_MOST_NAMED])
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        print(
            f"{self._program}: a crash ({signal.Signals(-code).name}) while decoding "
            f"{names}{more}; begins again and decodes that in a process of its own",
            file=sys.stderr,
        )
        return True

    def _end(self, code: int) -> NoReturn:
        """Ends this process as the child ended."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if code < 0:
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if -code in STOP_SIGNALS:
                signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [-code])
            code = 128 - code  # a process that signals do not end: the first of a container
        sys.stdout.flush()
        os._exit(code)


def _die_with(supervisor: int) -> None:
    """Lets the system kill this process when its supervisor ends, however that comes."""
    import ctypes

    set_death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGKILL))
    if os.getppid() != supervisor:
        os._exit(1)
