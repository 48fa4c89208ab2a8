"""Exports the training step for any GPU, TPU or CPU that jax knows.

    python -m experiments.export_step --corpus=PREPARED --output_dir=DIR [--run=RUN]

Writes DIR/step, with the whole step as StableHLO, the state, the corpus and `run.py`, which needs
jax and NumPy alone: `python DIR/step/run.py` on the machine with the device. The flags are those of
`experiments.train_embedding`; with --run the step goes on from that run's checkpoint. Bring the
result back by `experiments.import_state`. Needs the extra `pjrt`.
"""

from absl import flags

from audio_triplet.commands import terminal
from experiments.lib import script, shared_flags


def define_flags() -> None:
    """Defines the script's flags."""
    shared_flags.define_corpus_flags()
    shared_flags.define_triplets_flag()
    flags.DEFINE_string("run", "", "A run whose newest checkpoint the step goes on from.")
    shared_flags.define_training_flags()
    flags.DEFINE_integer("steps_per_call", 1, "Most steps that a call makes.", lower_bound=1)
    flags.DEFINE_integer("devices", 1, "Devices that share a batch.", lower_bound=1)
    bits = "Bits of a mel energy of the corpus: 16 as in the shards; 8 for half the memory."
    flags.DEFINE_enum("corpus_bits", "16", ["16", "8"], bits)


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    with terminal.clear_errors("export_step"):
        values = flags.FLAGS
        settings = shared_flags.settings_from_flags()
        how = {"steps_per_call": values.steps_per_call, "devices": values.devices}
        how |= {"corpus_bits": int(values.corpus_bits)}
        manifest = export(settings, values.seed, values.run, **how)
    last = manifest["steps"]
    print(f"{settings.output_dir}/step: steps {manifest['first_step']} to {last}; python run.py")
    print(f"of a device's memory the corpus takes {manifest['corpus_bytes'] / 1e9:.2f} GB")


def export(settings, seed: int, run: str = "", **how) -> dict:
    """Exports a step (`how`: see `export_step`) into `output_dir`; returns its manifest."""
    import tensorflow as tf

    from audio_triplet import distribution, locks, storage
    from audio_triplet.config import RunConfig
    from audio_triplet.training import checkpoints, loop
    from audio_triplet.training.trainer import Trainer
    from experiments.lib import step_export

    storage.make_folder(settings.output_dir)
    with locks.exclusive(settings.output_dir):
        corpus = settings.open_corpus()
        config = settings.run_config(settings.triplets.constraints, corpus, seed)
        trainer = Trainer(config, distribution.build_strategy("cpu"), for_other_hardware=True)
        if run:
            config.check_continues(RunConfig.read(run), run)
            folder = storage.join(run, "checkpoints")
            manager = tf.train.CheckpointManager(trainer.checkpoint(), folder, max_to_keep=None)
            checkpoints.restore(trainer, manager)
        if trainer.steps_done == 0:
            loop.begin(trainer, corpus.train)
        folder = storage.join(settings.output_dir, "step")
        return step_export.export_step(trainer, corpus.train, folder, **how)


if __name__ == "__main__":
    script.start(define_flags, main)
