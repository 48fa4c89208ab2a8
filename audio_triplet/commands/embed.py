"""Embeds sound files: files, folders or a manifest in, vectors out.

    audio-triplet embed PATH/TO/SOUND --output_dir=embeddings

writes PATH/TO/SOUND/a/b.wav's embeddings to embeddings/a/b.wav.npz: `embeddings` float32[n, dim],
an embedding every --hop_seconds, their centres `timestamps` in seconds, and what they are of. With
--form=npz or parquet all go into one set. After a stop the same command continues; files that
cannot be read are listed in bad_files.csv.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags, logging

from audio_triplet import locks
from audio_triplet.commands import config_flags
from audio_triplet.config import EmbedConfig
from audio_triplet.errors import UsageError

if TYPE_CHECKING:
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.folder import Summary
    from audio_triplet.embeddings.other_models import Embedder
    from audio_triplet.pipelines.runners import Parsed

FORMS = ("files", "npz", "parquet")


def define_flags() -> None:
    """Defines the verb's flags."""
    config_flags.define_labels_flag("none")
    flags.DEFINE_string("output_dir", None, "Output folder.", required=True)
    config_flags.define_model_flag()
    flags.DEFINE_enum(
        "form",
        "files",
        FORMS,
        "files: an .npz for each sound file, in a tree like theirs. npz, "
        "parquet: one set, embeddings.npz or embeddings.parquet.",
    )
    flags.DEFINE_boolean("overwrite", False, "Embed finished files again.")
    flags.DEFINE_boolean("resume", True, "Skip finished files; --noresume stops if there are any.")
    config_flags.define_truncated_flag("use")
    config_flags.define_runner_flag()
    config_flags.define_flags(EmbedConfig)


def main(argv: Sequence[str]) -> None:
    """Runs the verb."""
    from audio_triplet.commands import inputs

    values = flags.FLAGS
    config = config_flags.from_flags(EmbedConfig)
    sounds, runner = config_flags.runner_from_flags(argv[1:])
    manifest, names = inputs.load_inputs(sounds, values.labels)
    with locks.exclusive(values.output_dir):
        locks.clear_leftovers(values.output_dir)
        is_begun = os.path.exists(os.path.join(values.output_dir, "embeddings.json"))
        if is_begun and not values.resume and not values.overwrite:
            raise UsageError(
                f"{values.output_dir}: holds embeddings; choose another --output_dir, --resume or "
                "--overwrite"
            )
        from audio_triplet.embeddings import other_models

        model = other_models.open_embedder(values.model, config.precision)
        if not values["hop_seconds"].present:
            config = other_models.with_own_hop(config, model)
        print(
            embed(
                model,
                manifest,
                names,
                values.output_dir,
                config,
                values.form,
                values.overwrite,
                values.truncated,
                runner,
            )
        )


def embed(
    model: Embedder,
    manifest: Manifest,
    names: list[str],
    output_dir: str,
    config: EmbedConfig,
    form: str = "files",
    overwrite: bool = False,
    truncated: str = "use",
    runner: Parsed | None = None,
) -> str:
    """Embeds into a folder, and says what was done.

    Args:
      model: What embeds.
      manifest: The sound.
      names: As for `folder.embed_to_folder`.
      output_dir: The folder; unreadable files are listed in its bad_files.csv.
      config: Granularity, hop, batch and threads.
      form: One of `FORMS`.
      overwrite: Embed again what is finished.
      truncated: `use` or `refuse` files of which an end is missing.
      runner: Whose workers embed; None: this process.

    Returns:
      A line or two for the user.
    """
    from audio_triplet.commands.progress import Progress
    from audio_triplet.data.bad_files import BadFiles, listed_in
    from audio_triplet.embeddings import folder

    elsewhere = None
    if runner:
        from audio_triplet.embeddings import embed_pipeline

        elsewhere = embed_pipeline.ByPipeline(runner, output_dir)
    progress: Progress | None = None

    def on_start(summary: Summary, seconds: float) -> None:
        nonlocal progress
        if summary.finished:
            logging.info("%d files are finished already", summary.finished)
        progress = Progress(seconds)

    start = time.monotonic()
    try:
        with listed_in(output_dir, BadFiles(truncated)) as bad_files:
            done = folder.embed_to_folder(
                model,
                manifest,
                names,
                output_dir,
                config,
                form=form,
                overwrite=overwrite,
                bad_files=bad_files,
                on_start=on_start,
                on_progress=lambda seconds: progress(seconds) if progress else None,
                elsewhere=elsewhere,
            )
    finally:
        if progress is not None:
            progress.close()
    minutes = (time.monotonic() - start) / 60
    text = (
        f"{done.embeddings:,} embeddings of {done.files:,} files, {done.seconds / 3600:.2f} h of "
        f"sound, in {minutes:.1f} min ({done.seconds / 3600 / minutes:.2f} h/min)"
    )
    if done.finished:
        text += f"; {done.finished:,} files were finished before"
    bad_files.write_summary(output_dir, manifest.frame.attrs.get("passed_over"))
    if summary := bad_files.summary(output_dir):
        text += f"\n{summary}"
    return text
