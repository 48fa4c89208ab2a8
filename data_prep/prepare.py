"""Prepares a corpus: sound files → TFRecord shards of mel energies, read many times afterwards.

    python -m data_prep.prepare --corpus=esc50:DIR --output_dir=prepared/esc50

A run that was stopped goes on where it was. Train from the shards by `--corpus=prepared/esc50`.
"""

from absl import app, flags

from audio_triplet import cli
from audio_triplet.config import PrepareConfig
from data_prep import corpora


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string(
        "corpus", None, f"What to prepare: {corpora.accepted_forms()}.", required=True
    )
    flags.DEFINE_string("output_dir", None, "Folder for the shards.", required=True)
    define_preparing_flags()


def define_preparing_flags() -> None:
    """Defines the flags of every script that may have to prepare a corpus."""
    cli.define_flags(PrepareConfig, skip=("seed",))


def main(argv):
    """Runs the command."""
    del argv
    cli.quiet_tensorflow()
    with cli.clear_errors("prepare"):
        from data_prep.preparation import prepare

        corpus, output_dir = flags.FLAGS.corpus, flags.FLAGS.output_dir
        info = prepare(corpora.load_corpus(corpus), output_dir, cli.from_flags(PrepareConfig))
    for name, split in info.splits.items():
        print(
            f"{name}: {split.recordings} recordings, {split.pieces} pieces, "
            f"{split.seconds / 3600:.2f} h in {len(split.shards)} shards"
        )
    if info.bad_files:
        print(f"{len(info.bad_files)} files left out, listed in {output_dir}/bad_files.csv")


def run() -> None:
    """Entry point of the command."""
    define_flags()
    app.run(main)


if __name__ == "__main__":
    run()
