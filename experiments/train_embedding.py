"""Trains an embedding on unlabelled sound (or, as the topline, on labels) and exports it.

One row of the paper's Table 1 is one value of --triplets. On one's own folder of sound:

    python -m experiments.train_embedding --corpus=folders:DIR --output_dir=runs/mine

Run the same command again to continue a run that was stopped. The export is in
OUTPUT_DIR/export; `tf.saved_model.load` needs nothing else of this package.
"""

import dataclasses

from absl import app, flags

from audio_triplet.commands import config_flags, terminal
from audio_triplet.config import (
    CacheConfig,
)
from audio_triplet.corpora import registry
from audio_triplet.errors import UsageError
from experiments.lib.runs import train
from experiments.lib.shared_flags import (
    build_strategy,
    chosen_triplets,
    define_corpus_flags,
    define_training_flags,
    define_triplets_flag,
    open_corpus_from_flags,
    run_config,
)


def define_flags() -> None:
    """Defines the script's flags."""
    define_corpus_flags()
    define_triplets_flag()
    flags.DEFINE_boolean(
        "on_the_fly", False, "Decode sound files while training instead of preparing shards first."
    )
    flags.DEFINE_enum(
        "decoder",
        "libsndfile",
        ["libsndfile", "in_graph"],
        "For --on_the_fly. in_graph (needs "
        "tensorflow-io but for wav) is slower; it is for pipelines in which Python cannot run.",
    )
    flags.DEFINE_string(
        "data_service",
        "",
        "grpc://HOST:PORT of a tf.data service that makes the batches; see "
        "python -m experiments.data_service --help.",
    )
    config_flags.define_flags(CacheConfig)
    flags.DEFINE_boolean("resume", True, "Continue the run in --output_dir; else replace it.")
    define_training_flags()


def _refuse_for_several_workers() -> None:
    """Refuses what each worker would do by itself, and differently."""
    if not flags.FLAGS.on_the_fly and not registry.is_prepared(flags.FLAGS.corpus):
        raise UsageError(
            f"--corpus={flags.FLAGS.corpus}: prepare it first, once, for all workers (python -m "
            "data_prep.prepare), and give the folder of shards"
        )
    if flags.FLAGS.data_service:
        raise UsageError(
            "--data_service gives every worker other batches, of which no global batch can be "
            "made; with --strategy=multi_worker let the workers read the shards themselves"
        )


def main(argv):
    """Runs the command."""
    del argv
    terminal.quiet_tensorflow()
    with terminal.clear_errors("train_embedding"):
        from audio_triplet import distribution, storage
        from audio_triplet.data.file_source import FileChunks

        values = flags.FLAGS
        distribution.check_paths(
            values.strategy, values.tpu, {"corpus": values.corpus, "output_dir": values.output_dir}
        )
        for path in (values.corpus, values.output_dir):
            storage.check_readable(path)
        cache = config_flags.from_flags(CacheConfig)
        if cache.cache_dir and not (values.on_the_fly and values.decoder == "libsndfile"):
            raise UsageError("--cache_dir is for --on_the_fly with --decoder=libsndfile")
        strategy = build_strategy()
        if distribution.workers(strategy) > 1:
            _refuse_for_several_workers()
        storage.make_folder(values.output_dir)
        decoder = values.decoder if values.on_the_fly else ""
        corpus = open_corpus_from_flags(decoder=decoder, cache=cache)
        source = corpus.train
        config = run_config(chosen_triplets(), corpus, values.seed)
        if isinstance(source, FileChunks) and config.pipeline.batches_per_visit == 1:
            # Several batches from one visit: decoding must not hold up training.
            several = dataclasses.replace(config.pipeline, batches_per_visit=4)
            config = dataclasses.replace(config, pipeline=several)
        told = train(
            config, source, values.output_dir, values.resume, strategy, values.data_service
        )
    print(
        f"trained {told['training']['steps_done']} steps on {source.recordings} recordings, "
        f"loss {told['training']['final_loss']:.4f}\nSavedModel: {values.output_dir}/export"
    )


def run() -> None:
    """Entry point of the command."""
    define_flags()
    app.run(main)


if __name__ == "__main__":
    run()
