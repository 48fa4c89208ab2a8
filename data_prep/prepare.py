r"""Prepares a corpus: sound files → TFRecord shards of mel energies, for training.

    python -m data_prep.prepare --corpus=esc50:DIR --output_dir=prepared/esc50

After a stop the same command continues. Train from the shards by `--corpus=prepared/esc50`.

With Apache Beam installed (extra `[beam]`) it is one Beam pipeline, on all cores of this machine
or, by Beam's own flags, anywhere else:

    python -m data_prep.prepare --corpus=audioset:DIR --output_dir=gs://BUCKET/prepared \
        --runner=DataflowRunner --project=… --region=… --temp_location=gs://BUCKET/tmp

`--help --runner=DaskRunner` shows the flags of a runner.
"""

import importlib.util
import sys

from absl import app, flags

from audio_triplet.commands import config_flags, garbage, supervisor, terminal
from audio_triplet.config import PrepareConfig
from audio_triplet.corpora import registry
from audio_triplet.errors import UsageError
from audio_triplet.pipelines import runners


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("corpus", None, f"The corpus: {registry.accepted_forms()}.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder for the shards; gs://… too.", required=True)
    flags.DEFINE_enum(
        "engine",
        "auto",
        ["auto", "beam", "threads"],
        "beam: a process per core, or the cluster "
        "that Beam's own flags name (--runner, --direct_num_workers, …, see its documentation); "
        "threads: this process; auto: beam if it is installed.",
    )
    config_flags.define_flags(PrepareConfig, skip=("seed",))


def parse_flags(arguments: list[str]) -> list[str]:
    """Reads this command's flags; the others are passed to Beam."""
    try:
        return flags.FLAGS(arguments, known_only=True)
    except flags.Error as error:
        print(
            f"FATAL Flags parsing error: {error}\nPass --helpshort or --helpfull to see help on "
            "flags.",
            file=sys.stderr,
        )
        raise SystemExit(1) from error


def choose_engine(name: str, beam_flags: list[str]):
    """The engine for `preparation.prepare`.

    Args:
      name: `auto`, `beam` or `threads`.
      beam_flags: Flags that are not this command's.

    Raises:
      UsageError: They need Beam, which is not installed or excluded by `--engine`.
    """
    from data_prep.engine import Engine

    installed = importlib.util.find_spec("apache_beam") is not None
    if name == "threads" or not (installed or name == "beam" or beam_flags):
        if beam_flags:
            raise UsageError(f"{beam_flags[0]}: unknown flag (with --engine=threads)")
        return Engine()
    if not installed:
        what = beam_flags[0] if beam_flags else "--engine=beam"
        raise UsageError(
            f"{what}: unknown, unless it is for Apache Beam, which is not installed; pip install "
            "'audio_triplet[beam]'"
        )
    runners.import_beam("--engine=beam")
    from data_prep import beam

    return beam.Engine(beam_flags)


def main(argv):
    """Runs the command."""
    garbage.collect_rarely()
    terminal.set_up_logging()
    with terminal.clear_errors("prepare"):
        from data_prep.preparation import prepare

        values = flags.FLAGS
        engine = choose_engine(values.engine, argv[1:])
        info = prepare(
            registry.load_corpus(values.corpus),
            values.output_dir,
            config_flags.from_flags(PrepareConfig),
            engine=engine,
        )
    for name, split in info.splits.items():
        print(
            f"{name}: {split.recordings} recordings, {split.pieces} chunks, "
            f"{split.seconds / 3600:.2f} h in {len(split.shards)} shards"
        )
    print(f"counts, hours and totals of classes: {values.output_dir}/summary.json")
    if info.bad_files:
        print(f"{len(info.bad_files)} files left out, listed in {values.output_dir}/bad_files.csv")


def run() -> None:
    """Entry point of the command."""
    is_help = any(argument.startswith(("--help", "-h")) for argument in sys.argv[1:])
    if not is_help:
        supervisor.survive_crashes("prepare")
    define_flags()
    if is_help and (runner := runners.runner_name(sys.argv[1:])):
        print(flags.FLAGS.main_module_help())
        with terminal.clear_errors("prepare"):
            print(f"\n{runners.help_text(runner)}")
        return
    app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
    run()
