"""Trains and embeds for hours, and watches memory, open files, threads and pace.

    python -m benchmarks.soak --output_dir=/tmp/soak                      # two hours and one hour
    python -m benchmarks.soak --output_dir=/tmp/soak --training_minutes=6 --embedding_minutes=3

Generated sound is decoded on the fly, with checkpoints every minute. After a third of the time,
which is for warming up, a line is fitted to the resident memory: goal, less than 1 MB a minute.
Written to --output_dir: soak.json.
"""

import json
import os
import signal
import threading
import time

from absl import app, flags

from audio_triplet import cli, storage


class Watch:
    """Samples of this process, taken by a thread.

    Attributes:
      samples: [seconds, MB resident, open files, threads, work done] each.
      done: Work done so far, to be counted up by who works.
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
            with open("/proc/self/statm", encoding="ascii") as file:
                pages = int(file.read().split()[1])
            self.samples.append([
                time.monotonic() - begin, pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
                len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), self.done,
            ])

    def told(self) -> dict:
        """What the samples say, those of the first third left out."""
        import numpy as np

        table = np.array(self.samples)
        table = table[len(table) // 3 :]
        minutes = (table[:, 0] - table[0, 0]) / 60
        half = len(table) // 2
        pace = [(part[-1, 4] - part[0, 4]) / (part[-1, 0] - part[0, 0])
                for part in (table[:half], table[half:])]
        return {
            "minutes": round(float(minutes[-1]), 1),
            "megabytes_per_minute": round(float(np.polyfit(minutes, table[:, 1], 1)[0]), 3),
            "megabytes": [round(float(v)) for v in (table[0, 1], table[-1, 1])],
            "open_files": [int(v) for v in (table[:, 2].min(), table[:, 2].max())],
            "threads": [int(v) for v in (table[:, 3].min(), table[:, 3].max())],
            "pace_of_halves": [round(float(value), 3) for value in pace],
        }


def main(argv):
    """Runs the command."""
    del argv
    cli.quiet_tensorflow()
    values = flags.FLAGS
    from experiments.provenance import provenance

    with cli.clear_errors("soak"):
        os.makedirs(values.output_dir, exist_ok=True)
        found = {
            "training": soak_training(values.output_dir, values.training_minutes),
            "embedding": soak_embedding(values.output_dir, values.embedding_minutes),
        }
    path = os.path.join(values.output_dir, "soak.json")
    storage.write_whole(path, json.dumps(found | provenance(), indent=1) + "\n")
    for name, told in found.items():
        print(f"{name}: {told}")


def _source(folder: str):
    from audio_triplet import pieces
    from benchmarks.faults import Bench
    from data_prep.corpora import load_corpus

    bad_files = pieces.BadFiles()
    manifest = load_corpus(f"folders:{Bench(folder, []).sounds()}")
    return pieces.FilePieces(pieces.scan(manifest, bad_files), bad_files), manifest


def soak_training(folder: str, minutes: float) -> dict:
    """Trains until a signal, as Ctrl-C would, ends it."""
    from audio_triplet import distribution, training
    from audio_triplet.config import EncoderConfig, PipelineConfig, RunConfig, TrainingConfig

    source, _ = _source(folder)
    trainer = training.Trainer(
        RunConfig(
            pipeline=PipelineConfig(batch_size=8),
            encoder=EncoderConfig(width=0.0625),
            training=TrainingConfig(steps=10**7, precision="float32", checkpoint_minutes=1),
        ),
        distribution.build_strategy("cpu"),
    )
    step = trainer.step
    with Watch() as watch:

        def counted(batch):
            watch.done += 1
            return step(batch)

        trainer.step = counted
        timer = threading.Timer(60 * minutes, os.kill, [os.getpid(), signal.SIGTERM])
        timer.start()
        try:
            training.run(
                trainer, source, os.path.join(folder, "run"), resume=False, progress=False
            )
        except cli.Interrupted:
            pass
    training.load_encoder(os.path.join(folder, "run"))
    return watch.told()


def soak_embedding(folder: str, minutes: float) -> dict:
    """Exports what was trained, and embeds sound of mixed lengths in a loop."""
    from audio_triplet import audio, export, training

    encoder = training.load_encoder(os.path.join(folder, "run"))
    path = os.path.join(folder, "export")
    export.export(encoder, path, {})
    model = export.Model(path)
    _, manifest = _source(folder)
    end = time.monotonic() + 60 * minutes
    with Watch() as watch:
        while time.monotonic() < end:
            for name in manifest.frame["path"]:
                model(audio.load_audio(name)[None])
                watch.done += 1
    return watch.told()


if __name__ == "__main__":
    flags.DEFINE_string("output_dir", None, "Folder for soak.json and the run.", required=True)
    flags.DEFINE_float("training_minutes", 120.0, "Minutes of training.")
    flags.DEFINE_float("embedding_minutes", 60.0, "Minutes of embedding.")
    app.run(main)
