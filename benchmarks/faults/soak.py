"""Trains and embeds for hours, and watches memory, open files, threads and pace.

    python -m benchmarks.faults.soak --output_dir=/tmp/soak --training_minutes=120
    python -m benchmarks.faults.soak --output_dir=/tmp/soak --embedding_minutes=3

Generated sound is decoded on the fly, with checkpoints every minute. The first third of the time is
for warming up. A line is fitted to the resident memory of the rest: goal, less than 1 MB per
minute. Files, threads and pace of the first half of the rest are compared with those of the second.
The pace is measured by the clock and by this process's own processor time, which does not depend on
other work on the machine. Embedding needs a trained run: without one, it trains for a few seconds
first. Written to --output_dir: soak.json. `benchmarks.faults` runs both as two of its parts.
"""

import contextlib
import os
import signal
import threading
import time

from absl import app, flags

from audio_triplet import storage
from audio_triplet.commands import terminal
from audio_triplet.errors import Interrupted

MOST_MEGABYTES_PER_MINUTE = 1.0
LEAST_PACE = 0.9


def resident_megabytes() -> float:
    """Resident memory of this process now, in MB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Watch:
    """Samples of this process, taken by a thread.

    Attributes:
      samples: [seconds, MB resident, open files, threads, work done, processor seconds] each.
      done: Work done so far; the worker increases it.
    """

    def __init__(self, every_seconds: float = 2.0):
        self.samples: list[list[float]] = []
        self.done = 0
        self._every, self._over = every_seconds, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        begin = time.monotonic()
        while not self._over.wait(self._every):
            self.samples.append(
                [
                    time.monotonic() - begin,
                    resident_megabytes(),
                    len(os.listdir("/proc/self/fd")),
                    len(os.listdir("/proc/self/task")),
                    self.done,
                    time.process_time(),
                ]
            )

    def summary(self) -> dict:
        """A summary of the samples, without the first third."""
        import numpy as np

        table = np.array(self.samples)
        table = table[len(table) // 3 :]
        minutes = (table[:, 0] - table[0, 0]) / 60
        halves = table[: len(table) // 2], table[len(table) // 2 :]

        def pace(by: int) -> list[float]:
            """Work per second in each half, by the clock or by processor time."""
            spans = [half[-1] - half[0] for half in halves]
            return [round(float(span[4] / span[by]), 3) for span in spans]

        return {
            "minutes": round(float(minutes[-1]), 1),
            "megabytes_per_minute": round(float(np.polyfit(minutes, table[:, 1], 1)[0]), 3),
            "megabytes": [round(float(v)) for v in (table[0, 1], table[-1, 1])],
            "open_files": [int(half[:, 2].max()) for half in halves],
            "threads": [int(half[:, 3].max()) for half in halves],
            "pace": pace(0),
            "pace_by_processor_time": pace(5),
            "done": int(table[-1, 4]),
        }


def broken(summary: dict) -> list[str]:
    """Violations of the promise that memory, files, threads and pace stay constant."""
    problems = []
    if summary["megabytes_per_minute"] >= MOST_MEGABYTES_PER_MINUTE:
        problems.append(f"memory grows by {summary['megabytes_per_minute']:g} MB per minute")
    for name in ("open_files", "threads"):
        first, second = summary[name]
        if second > first + 2:
            problems.append(f"{name} grow from {first} to {second}")
    first, second = summary["pace_by_processor_time"]
    if second < LEAST_PACE * first:
        problems.append(f"work per processor second falls from {first:g} to {second:g}")
    return problems


def main(argv):
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    values = flags.FLAGS
    from audio_triplet.provenance import provenance

    with terminal.clear_errors("soak"):
        os.makedirs(values.output_dir, exist_ok=True)
        found = {
            name: soak(values.output_dir, minutes, values.sample_seconds)
            for name, soak, minutes in (
                ("training", soak_training, values.training_minutes),
                ("embedding", soak_embedding, values.embedding_minutes),
            )
            if minutes
        }
    path = os.path.join(values.output_dir, "soak.json")
    storage.write_json(path, found | provenance())
    for name, summary in found.items():
        print(f"{name}: {summary}, broken: {broken(summary)}")


def _source(folder: str):
    from audio_triplet.corpora.registry import load_corpus
    from audio_triplet.data import chunks
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.file_source import FileChunks
    from benchmarks.faults.bench import Bench

    bad_files = BadFiles()
    manifest = load_corpus(f"folders:{Bench(folder, []).sounds()}")
    return FileChunks(chunks.scan(manifest, bad_files), bad_files), manifest


def soak_training(folder: str, minutes: float, sample_seconds: float = 2.0) -> dict:
    """Trains until a signal, as Ctrl-C would, ends it."""
    from audio_triplet import distribution
    from audio_triplet.config import EncoderConfig, PipelineConfig, RunConfig, TrainingConfig
    from audio_triplet.training import checkpoints, loop
    from audio_triplet.training.trainer import Trainer

    source, _ = _source(folder)
    trainer = Trainer(
        RunConfig(
            pipeline=PipelineConfig(batch_size=8),
            encoder=EncoderConfig(width=0.0625),
            training=TrainingConfig(steps=10**7, precision="float32", checkpoint_minutes=1),
        ),
        distribution.build_strategy("cpu"),
    )
    step = trainer.step
    with Watch(sample_seconds) as watch:
        timer = threading.Timer(60 * minutes, os.kill, [os.getpid(), signal.SIGTERM])

        def counted(batch):
            scalars = step(batch)
            if not watch.done:  # tracing the step is no part of the time
                timer.start()
            watch.done += 1
            return scalars

        trainer.step = counted
        with contextlib.suppress(Interrupted):
            loop.run(trainer, source, os.path.join(folder, "run"), resume=False, progress=False)
    checkpoints.load_encoder(os.path.join(folder, "run"))
    return watch.summary()


def soak_embedding(folder: str, minutes: float, sample_seconds: float = 2.0) -> dict:
    """Exports what was trained, and embeds sound of mixed lengths in a loop."""
    from audio_triplet import audio
    from audio_triplet.embeddings import saved_model
    from audio_triplet.training import checkpoints

    run = os.path.join(folder, "run")
    if not os.path.exists(os.path.join(run, "config.json")):
        soak_training(folder, 0.2)
    encoder = checkpoints.load_encoder(run)
    path = os.path.join(folder, "export")
    saved_model.export(encoder, path, {})
    model = saved_model.Model(path)
    _, manifest = _source(folder)
    end = time.monotonic() + 60 * minutes
    with Watch(sample_seconds) as watch:
        while time.monotonic() < end:
            for name in manifest.frame["path"]:
                model(audio.load_audio(name)[None])
                watch.done += 1
    return watch.summary()


if __name__ == "__main__":
    flags.DEFINE_string("output_dir", None, "Folder for soak.json and the run.", required=True)
    flags.DEFINE_float("training_minutes", 0.0, "Minutes of training.")
    flags.DEFINE_float("embedding_minutes", 0.0, "Minutes of embedding.")
    flags.DEFINE_float("sample_seconds", 2.0, "Seconds from one look at the process to the next.")
    app.run(main)
