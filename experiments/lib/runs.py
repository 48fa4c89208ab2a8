"""Training an encoder to its end, and exporting it."""

import dataclasses

from audio_triplet.commands import terminal
from audio_triplet.config import RunConfig


def train(
    config: RunConfig,
    source,
    output_dir: str,
    resume: bool = True,
    strategy=None,
    service: str = "",
    feed: str = "auto",
) -> dict:
    """Trains a run to its end and exports it.

    Args:
      config: The run.
      source: The chunks to train on.
      output_dir: Folder of the run; the export is `export` in it.
      resume: Whether to continue what is there.
      strategy: Where to train; None: the default device.
      service: A tf.data service that makes the batches.
      feed: `pipeline`, `resident` or `auto`, see `training.feeds`.

    Returns:
      What the export's config.json says; of several workers, only the first one writes it.
    """
    from audio_triplet import distribution
    from audio_triplet.training import loop
    from audio_triplet.training.trainer import Trainer

    trainer = Trainer(config, strategy or distribution.build_strategy())
    with loop.only_writer(trainer, output_dir):
        rows = loop.run(
            trainer,
            source,
            output_dir,
            resume=resume,
            service=service,
            feed=feed,
            started=terminal.STARTED,
        )
        return _export(trainer, source, rows, output_dir)


def _export(trainer, source, rows: list[dict[str, float]], output_dir: str) -> dict:
    """Exports a finished run with its config.json; see `train`."""
    from audio_triplet import distribution, storage
    from audio_triplet.provenance import provenance
    from audio_triplet.training import checkpoints, initial

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
    encoder = checkpoints.load_encoder(output_dir)
    metadata = {
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
    if config.init_model:
        metadata["initial_model"] = initial.provenance(config.init_model, config.init_model_digest)
    write_export(encoder, storage.join(output_dir, "export"), metadata)
    return metadata


def write_export(encoder, path: str, metadata: dict) -> None:
    """Exports an encoder, compares it with what was written, and adds its encoder file.

    Args:
      encoder: A float32 encoder.
      path: Folder of the export; an earlier one is replaced at the end.
      metadata: Of config.json.

    Raises:
      ExportError: What was written is another model than the encoder.
    """
    from audio_triplet import storage
    from audio_triplet.embeddings import encoder_file, saved_model
    from audio_triplet.errors import ExportError

    with storage.replacing(path) as temporary:
        saved_model.export(encoder, temporary, metadata)
        live = saved_model.check(lambda waveform: saved_model.embed_waveforms(encoder, waveform))
        exported = saved_model.Model(temporary)
        back = saved_model.check(exported)
        apart = max(abs(live[name] - back[name]).max() for name in live)
        if apart > 1e-5:
            raise ExportError(f"{path}: differs from the live model by {apart:.1e}")
        encoder_file.provide(temporary, exported.digest, exported)
