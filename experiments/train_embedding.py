"""Trains an embedding on unlabelled sound (or, as the topline, on labels) and exports it.

One row of the paper's Table 1 is one value of --triplets. On your own folder of sound:

    python -m experiments.train_embedding --corpus=folders:DIR --output_dir=runs/mine

With --init_model=released (or the export of another run) it goes on from that model, which on your
own sound costs less than a model from nothing; see docs/train.md for where it pays.

Run the same command again to continue a stopped run. The export is in OUTPUT_DIR/export;
`tf.saved_model.load` loads it without this package. Values come from --recipe and from given flags,
see experiments/recipes.
"""

from absl import flags

from audio_triplet.commands import config_flags, garbage, terminal
from audio_triplet.config import FEEDS, CacheConfig
from audio_triplet.corpora import registry
from audio_triplet.errors import UsageError
from experiments.lib import runs, script, shared_flags
from experiments.lib.settings import ExperimentSettings


def define_flags() -> None:
    """Defines the script's flags."""
    shared_flags.define_corpus_flags()
    shared_flags.define_triplets_flag()
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
    flags.DEFINE_enum(
        "feed",
        "auto",
        FEEDS,
        "What makes the batches: pipeline, on the host; resident, the device itself, with the "
        "prepared corpus in its memory (48 MB an hour); resident8, in 8 bits (25 MB); auto: "
        "resident on a GPU or TPU that has room for it.",
    )
    config_flags.define_flags(CacheConfig)
    flags.DEFINE_boolean("resume", True, "Continue the run in --output_dir; else replace it.")
    shared_flags.define_initial_flags()
    shared_flags.define_training_flags()


def main(argv):
    """Runs the command."""
    del argv
    garbage.collect_rarely()
    terminal.set_up_logging()
    with terminal.clear_errors("train_embedding"):
        values = flags.FLAGS
        settings = shared_flags.settings_from_flags(on_the_fly=values.on_the_fly)
        summary = train(
            settings,
            values.seed,
            decoder=values.decoder if values.on_the_fly else "",
            cache=config_flags.from_flags(CacheConfig),
            service=values.data_service,
            feed=values.feed,
            resume=values.resume,
        )
    print(
        f"trained {summary['steps_done']} steps on {summary['recordings']} recordings, "
        f"loss {summary['final_loss']:.4f}\nSavedModel: {settings.output_dir}/export"
    )


def train(
    settings: ExperimentSettings,
    seed: int,
    *,
    decoder: str = "",
    cache: CacheConfig | None = None,
    service: str = "",
    feed: str = "auto",
    resume: bool = True,
) -> dict:
    """Trains an encoder and exports it.

    Args:
      settings: Corpus, folder and values.
      seed: Seed of the run.
      decoder: What decodes sound files while training, `libsndfile` or `in_graph`; empty: shards
        are prepared first and read.
      cache: Keeps decoded sound.
      service: A tf.data service that makes the batches.
      feed: What makes the batches, see `audio_triplet.training.feeds`.
      resume: Whether to continue an existing run.

    Returns:
      The entry `training` of the export's config.json.
    """
    from audio_triplet import distribution, storage

    distribution.check_paths(
        settings.strategy,
        settings.tpu,
        {"corpus": settings.corpus, "output_dir": settings.output_dir},
    )
    for path in (settings.corpus, settings.output_dir):
        storage.check_readable(path)
    if cache and cache.cache_dir and decoder != "libsndfile":
        raise UsageError("--cache_dir is for --on_the_fly with --decoder=libsndfile")
    strategy = settings.build_strategy()
    if distribution.workers(strategy) > 1:
        _check_several_workers(settings.corpus, decoder, service)
    storage.make_folder(settings.output_dir)
    corpus = settings.open_corpus(decoder=decoder, cache=cache)
    config = settings.run_config(settings.triplets.constraints, corpus, seed)
    metadata = runs.train(
        config, corpus.train, settings.output_dir, resume, strategy, service, feed
    )
    return metadata["training"]


def _check_several_workers(corpus: str, decoder: str, service: str) -> None:
    """Raises UsageError for options by which workers would differ from each other."""
    if not decoder and not registry.is_prepared(corpus):
        raise UsageError(
            f"--corpus={corpus}: prepare it first, once, for all workers (python -m "
            "data_prep.prepare), and give the folder of shards"
        )
    if service:
        raise UsageError(
            "--data_service gives every worker other batches, which make no global batch; "
            "with --strategy=multi_worker let the workers read the shards themselves"
        )


if __name__ == "__main__":
    script.start(define_flags, main)
