"""Kills `browse` at random while a script labels: is anything lost or doubled?

    python -m benchmarks.browse_killed --kills=50

A script labels the moments of a generated index as fast as it is answered, and notes what was
acknowledged. The server is killed (SIGKILL) at a random moment, started again, and the request that
had no answer is sent again. In the end every acknowledged answer must be there, once, with its
value; the database must be whole. Prints a line of JSON; exit status 1 if anything is amiss.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from absl import app, flags

from benchmarks import browse_archive


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a trial found.

    Attributes:
      kills: How often the server was killed.
      acknowledged: Answers that it said were stored.
      lost: Of these, how many are not there, or with another value.
      doubled: How many are there twice.
      strange: How many are there that nobody sent.
      whole: Whether SQLite finds the database whole.
    """

    kills: int
    acknowledged: int
    lost: int
    doubled: int
    strange: int
    whole: bool

    @property
    def is_good(self) -> bool:
        """Whether nothing is amiss."""
        return self.whole and not (self.lost or self.doubled or self.strange)


class Server:
    """A `browse` process.

    Attributes:
      process: The process.
      address: `http://127.0.0.1:PORT`.
      token: Its token.
    """

    def __init__(self, index: str, labels: str, *arguments: str):
        """Starts it, and waits for its line."""
        command = [sys.executable, "-m", "audio_triplet", "browse", f"--index={index}"]
        command += [f"--labels={labels}", "--port=0", "--open=false", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline() if self.process.stdout else ""
        if "/?token=" not in line:
            raise RuntimeError(f"browse did not start: {self.process.communicate()[1]}")
        self.address, self.token = line.strip().split("/?token=")

    def ask(self, path: str, content: object = None) -> dict:
        """Sends a request.

        Raises:
          OSError: There is no answer, or an error.
        """
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.address + path, data, {"X-Token": self.token})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def kill(self) -> None:
        """Ends it as a power cut of the process would."""
        self.process.kill()
        self.process.communicate()


def trial(index: str, labels: str, kills: int, seed: int = 0, most_seconds: float = 0.6) -> Outcome:
    """Labels while the server is killed again and again.

    Args:
      index: Folder of an index.
      labels: File of the answers; not there yet.
      kills: How often.
      seed: Of the moments of death and of the values.
      most_seconds: Longest life of a server after it is ready.
    """
    rng = random.Random(seed)
    acknowledged: list[dict] = []
    waiting: dict | None = None
    count = 0
    for _ in range(kills):
        server = Server(index, labels, "--model=/none")
        files = server.ask("/api/files?limit=1000")["files"]
        death = threading.Timer(rng.uniform(0.0, most_seconds), server.process.kill)
        death.start()
        try:
            while True:
                if waiting is None:
                    count += 1
                    waiting = {
                        "path": rng.choice(files)["path"],
                        "start_seconds": count / 100,
                        "end_seconds": count / 100 + 1,
                        "label": f"label {rng.randrange(5)}",
                        "value": rng.choice([True, False, None]),
                        "id": f"request {count}",
                    }
                server.ask("/api/labels", waiting)
                acknowledged.append(waiting)
                waiting = None
        except (OSError, ValueError, http.client.HTTPException):
            pass  # killed before it could answer
        death.join()
        server.kill()
    server = Server(index, labels, "--model=/none")
    found = server.ask("/api/labels")["labels"]
    server.kill()
    with sqlite3.connect(labels) as connection:
        whole = connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute("SELECT count(*) FROM answers").fetchone()[0]
    stored = {_key(answer): answer["value"] for answer in found}
    sent = {_key(answer) for answer in [*acknowledged, *([waiting] if waiting else [])]}
    return Outcome(
        kills,
        len(acknowledged),
        sum(stored.get(_key(a), "none") != a["value"] for a in acknowledged),
        rows - len(stored),
        len(set(stored) - sent),
        whole,
    )


def _key(answer: dict) -> tuple:
    return answer["path"], answer["start_seconds"], answer["end_seconds"], answer["label"]


def main(argv: list[str]) -> None:
    """Runs the trial."""
    del argv
    values = flags.FLAGS
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        index = os.path.join(folder, "index")
        browse_archive.write(index, 2_000, sounds=5)
        labels = os.path.join(folder, "labels.sqlite")
        outcome = trial(index, labels, values.kills, values.seed)
    content = dataclasses.asdict(outcome) | {"seconds": round(time.monotonic() - begin, 1)}
    print(json.dumps(content))
    if not outcome.is_good:
        raise SystemExit(1)


if __name__ == "__main__":
    flags.DEFINE_integer("kills", 50, "How often the server is killed.")
    flags.DEFINE_integer("seed", 0, "Of the moments of death.")
    app.run(main)
