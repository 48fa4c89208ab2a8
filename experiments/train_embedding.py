"""Trains an embedding on unlabelled sound (or, as the topline, on labels) and exports it.

One row of the paper's Table 1 is one value of --triplets. On one's own folder of sound:

    python -m experiments.train_embedding --corpus=folders:DIR --output_dir=runs/mine

Run the same command again to continue a run that was stopped. The export is in
OUTPUT_DIR/export; `tf.saved_model.load` needs nothing else of this package.
"""

import dataclasses
import os

from absl import app, flags

from audio_triplet import cli
from audio_triplet.config import (
    COMBINED,
    CONSTRAINTS,
    EXPLICIT,
    PRESETS,
    CacheConfig,
    EncoderConfig,
    PipelineConfig,
    PrepareConfig,
    RunConfig,
    TrainingConfig,
    TripletConfig,
)
from data_prep import corpora
from data_prep.prepare import define_preparing_flags


def define_flags() -> None:
    """Defines the script's flags."""
    define_corpus_flags()
    define_triplets_flag()
    flags.DEFINE_boolean(
        "on_the_fly", False, "Decode sound files while training instead of preparing shards first."
    )
    flags.DEFINE_enum(
        "decoder", "libsndfile", ["libsndfile", "in_graph"], "For --on_the_fly. in_graph (needs "
        "tensorflow-io but for wav) is slower; it is for pipelines in which Python cannot run."
    )
    flags.DEFINE_string(
        "data_service", "", "grpc://HOST:PORT of a tf.data service that makes the batches; see "
        "python -m experiments.data_service --help."
    )
    cli.define_flags(CacheConfig)
    flags.DEFINE_boolean("resume", True, "Continue the run in --output_dir; else replace it.")
    define_training_flags()


def define_triplets_flag() -> None:
    """Defines the flag of scripts that train one encoder."""
    flags.DEFINE_enum(
        "triplets", "joint", ["joint", *CONSTRAINTS, EXPLICIT, COMBINED],
        "Which triplets to train on.",
    )


def define_corpus_flags(required: bool = True) -> None:
    """Defines the flags of every script that trains on a corpus.

    Args:
      required: Whether corpus and folder must be given.
    """
    flags.DEFINE_string(
        "corpus", None, f"The sound: {corpora.accepted_forms()}.", required=required
    )
    flags.DEFINE_string("output_dir", None, "Folder for all that is written.", required=required)
    flags.DEFINE_list(
        "max_share", [], "Greatest shares of the recordings for kinds of sound, such as "
        "speech=0.1,music=0 (kinds as in the manifest's column `kind`)."
    )
    flags.DEFINE_list(
        "test_splits", [], "Splits held out for testing. By default test or eval; the last fold; "
        "or, without splits, a fifth of the recordings. Unlabelled sound is all trained on; none: "
        "everything is."
    )
    flags.DEFINE_string(
        "unlabelled", "", "Another corpus to train on too, without its labels and splits; in the "
        "forms of --corpus that are not prepared."
    )
    flags.DEFINE_boolean(
        "skip_damaged", False, "Do without damaged shards, which are named and counted (all are "
        "read once at the start); else the first that is met stops the run."
    )
    define_preparing_flags()


def define_training_flags(seed: bool = True) -> None:
    """Defines the flags of every script that trains encoders.

    Args:
      seed: Whether there is a flag for the seed.
    """
    flags.DEFINE_enum(
        "strategy", "auto", ["auto", "cpu", "mirrored", "multi_worker", "tpu"],
        "Where to train: auto takes a TPU if --tpu is set, else all GPUs, else the CPU; "
        "multi_worker: the processes named in TF_CONFIG, which share --output_dir.",
    )
    flags.DEFINE_enum(
        "preset", None, list(PRESETS), "Values for all flags below that are not given: paper, as "
        "the paper has it; best, what was found to work best without labels.",
    )
    flags.DEFINE_string("tpu", "", "Name or grpc address of a TPU; local on a TPU VM.")
    flags.DEFINE_float(
        "topline_learning_rate", None, "The explicit-label topline's, where it is to differ: at "
        "rates that the other triplets stand it may collapse.", lower_bound=1e-9,
    )
    cli.define_flags(TripletConfig, skip=("constraints",))
    cli.define_flags(PipelineConfig, skip=() if seed else ("seed",))
    cli.define_flags(EncoderConfig)
    cli.define_flags(TrainingConfig, skip=("seed",), learning_rate=3e-4)


def shares_from_flags() -> dict[str, float]:
    """What --max_share says: kind → share."""
    shares = {}
    for entry in flags.FLAGS.max_share:
        kind, _, share = entry.partition("=")
        try:
            shares[kind.strip()] = float(share)
        except ValueError as error:
            raise cli.UsageError(f"--max_share={entry}: write kind=share, as speech=0.1") from error
    return shares


def open_corpus_from_flags(test_splits: tuple[str, ...] = ()):
    """Opens --corpus, preparing it below --output_dir if it is not prepared.

    Args:
      test_splits: Splits to test on; empty: what --test_splits says.
    """
    from experiments import data

    values = flags.FLAGS
    corpus = data.open_corpus(
        values.corpus, os.path.join(values.output_dir, "prepared"),
        test_splits or tuple(values.test_splits),
        cli.from_flags(PrepareConfig), shares_from_flags(), values.unlabelled,
    )
    return dataclasses.replace(corpus, skip_damaged=values.skip_damaged)


def check_labelled(corpus):
    """The corpus; raises UsageError unless it has labels and a test side to score on."""
    if not corpus.manifest.classes or not corpus.test_splits:
        raise cli.UsageError(f"{corpus.name}: scores need labels and a test split")
    return corpus


def run_config(constraints: str, corpus, seed: int) -> RunConfig:
    """The configuration that the flags describe.

    Args:
      constraints: Which triplets.
      corpus: An `experiments.data.Corpus`.
      seed: Seed of the weights and of all that is drawn.

    Returns:
      The configuration of a run.
    """
    values = flags.FLAGS
    preset = PRESETS.get(values.preset, {})
    differing = {"seed": seed}
    if constraints == EXPLICIT:
        differing["memory"] = 0  # labels are not remembered
        if values.topline_learning_rate is not None:
            differing["learning_rate"] = values.topline_learning_rate
    return RunConfig(
        corpus=corpus.name,
        corpus_fingerprint=corpus.fingerprint,
        splits=corpus.train_splits,
        triplets=cli.from_flags(TripletConfig, preset, constraints=constraints),
        pipeline=cli.from_flags(PipelineConfig, preset, seed=seed),
        encoder=cli.from_flags(EncoderConfig, preset),
        training=cli.from_flags(TrainingConfig, preset, **differing),
    )


def told(config: RunConfig) -> dict:
    """A configuration as tables tell it, with the `precision` that the hardware makes of it."""
    from audio_triplet import distribution

    return dataclasses.asdict(config) | {
        "precision": distribution.choose_precision(config.training.precision, build_strategy())
    }


def chosen_triplets() -> str:
    """Which triplets the flags ask for."""
    flag = flags.FLAGS["triplets"]
    return flag.value if flag.present else PRESETS.get(flags.FLAGS.preset, {}).get(
        "constraints", flag.value
    )


def build_strategy():
    """The strategy that the flags ask for; of several workers, before any use of TensorFlow."""
    from audio_triplet import distribution

    return distribution.build_strategy(flags.FLAGS.strategy, flags.FLAGS.tpu)


def train(
    config: RunConfig, source, output_dir: str, resume: bool = True, strategy=None,
    service: str = "",
) -> dict:
    """Trains a run to its end and exports it.

    Args:
      config: The run.
      source: Pieces to train on.
      output_dir: Folder of the run; the export is `export` in it.
      resume: Whether to continue what is there.
      strategy: Where to train; what the flags ask for if None.
      service: A tf.data service that makes the batches.

    Returns:
      What the export's config.json says; of several workers, only the first one writes it.
    """
    from audio_triplet import training

    strategy = strategy or build_strategy()
    trainer = training.Trainer(config, strategy)
    with training.only_writer(trainer, output_dir):
        rows = training.run(trainer, source, output_dir, resume=resume, service=service)
        return _export(trainer, source, rows, output_dir)


def _export(trainer, source, rows: list[dict[str, float]], output_dir: str) -> dict:
    """Exports a finished run and says what it is; see `train`."""
    from audio_triplet import distribution, export, storage, training
    from experiments.provenance import provenance

    config = trainer.config
    last = rows[-50:]
    trained = dataclasses.asdict(config) | {
        "steps_done": trainer.steps_done,
        "precision": trainer.precision,
        "recordings": source.recordings,
        "final_loss": sum(row["loss"] for row in last) / len(last),
    }
    if not distribution.is_chief(trainer.strategy):
        return {"training": trained}
    encoder = training.load_encoder(output_dir)
    told = {
        "model": dataclasses.asdict(config.encoder) | {"parameters": encoder.count_params()},
        "signature": {
            "waveform": "float32[batch, samples], 16000 Hz, any length",
            "patch_embeddings": f"float32[batch, patches, {config.encoder.embedding_size}], "
            "unit norm",
            "segment_embedding": f"float32[batch, {config.encoder.embedding_size}], unit norm",
            "timestamps": "float32[patches], centres of the patches in seconds",
        },
        "training": trained,
        **provenance(),
    }
    with storage.written_folder(storage.join(output_dir, "export")) as path:
        export.export(encoder, path, told)
        live = export.check(lambda waveform: export.embed_waveforms(encoder, waveform))
        back = export.check(export.Model(path))
        apart = max(abs(live[name] - back[name]).max() for name in live)
        if apart > 1e-5:
            raise export.ExportError(f"{path}: differs from the live model by {apart:.1e}")
    return told


def _refuse_for_several_workers() -> None:
    """Refuses what each worker would do by itself, and differently."""
    if not flags.FLAGS.on_the_fly and not corpora.is_prepared(flags.FLAGS.corpus):
        raise cli.UsageError(
            f"--corpus={flags.FLAGS.corpus}: prepare it first, once, for all workers (python -m "
            "data_prep.prepare), and give the folder of shards"
        )
    if flags.FLAGS.data_service:
        raise cli.UsageError(
            "--data_service gives every worker other batches, of which no global batch can be "
            "made; with --strategy=multi_worker let the workers read the shards themselves"
        )


def main(argv):
    """Runs the command."""
    del argv
    cli.quiet_tensorflow()
    with cli.clear_errors("train_embedding"):
        from audio_triplet import distribution, pieces, storage
        from experiments import data

        values = flags.FLAGS
        distribution.check_paths(
            values.strategy, values.tpu, {"corpus": values.corpus, "output_dir": values.output_dir}
        )
        for path in (values.corpus, values.output_dir):
            storage.check_readable(path)
        cache = cli.from_flags(CacheConfig)
        if cache.cache_dir and not (values.on_the_fly and values.decoder == "libsndfile"):
            raise cli.UsageError("--cache_dir is for --on_the_fly with --decoder=libsndfile")
        strategy = build_strategy()
        if distribution.workers(strategy) > 1:
            _refuse_for_several_workers()
        storage.make_folder(values.output_dir)
        if values.on_the_fly:
            corpus, source = data.open_files(
                values.corpus, tuple(values.test_splits), cli.from_flags(PrepareConfig),
                shares_from_flags(), values.decoder, values.unlabelled, cache,
            )
        else:
            corpus = open_corpus_from_flags()
            source = corpus.train
        config = run_config(chosen_triplets(), corpus, values.seed)
        if isinstance(source, pieces.FilePieces) and config.pipeline.batches_per_visit == 1:
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
