"""Embeds sound files by a SavedModel: files, folders or a manifest in, vectors out.

    audio-triplet embed PATH/TO/SOUND --model=runs/mine/export --output_dir=embeddings

writes PATH/TO/SOUND/a/b.wav's embeddings to embeddings/a/b.wav.npz: `embeddings` float32[n, dim],
an embedding every --hop_seconds, their centres `timestamps` in seconds, and where from. With
--form=npz or parquet all go into one set. Stopped and run again it goes on where it was; files
that cannot be read are listed in bad_files.csv. Also: audio-triplet embed.
"""

import os
import sys
import time

from absl import flags, logging

from audio_triplet import locks
from audio_triplet.commands import config_flags, inputs, terminal
from audio_triplet.commands.progress import Progress
from audio_triplet.config import EmbedConfig
from audio_triplet.errors import UsageError

FORMS = ("files", "npz", "parquet")


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("model", None, "Folder of a SavedModel.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder for all that is written.", required=True)
    flags.DEFINE_enum(
        "form",
        "files",
        FORMS,
        "files: an .npz for each sound file, in a tree like theirs. npz, "
        "parquet: one set, embeddings.npz or embeddings.parquet.",
    )
    flags.DEFINE_boolean("overwrite", False, "Embed again what is finished.")
    flags.DEFINE_boolean(
        "resume", True, "Leave what is finished; --noresume stops if there is something."
    )
    config_flags.define_flags(EmbedConfig)


def main(argv):
    """Runs the command."""
    values = flags.FLAGS
    terminal.quiet_tensorflow()
    with terminal.clear_errors("audio-triplet embed"):
        config = config_flags.from_flags(EmbedConfig)
        manifest, names = inputs.load_inputs(argv[1:])
        with locks.exclusive(values.output_dir):
            locks.clear_leftovers(values.output_dir)
            print(embed(config, manifest, names, values))


def embed(config: EmbedConfig, manifest, names: list[str], values) -> str:
    """Embeds, and says what was done.

    Args:
      config: How.
      manifest: What.
      names: As for `folder.embed_to_folder`.
      values: The flags.

    Returns:
      A line or two for the user.
    """
    there = os.path.exists(os.path.join(values.output_dir, "embeddings.json"))
    if there and not values.resume and not values.overwrite:
        raise UsageError(
            f"{values.output_dir}: holds embeddings; choose another --output_dir, --resume or "
            "--overwrite"
        )
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.embeddings import folder, saved_model

    model = saved_model.Model(values.model, config.precision)
    bad_files, progress = BadFiles(), None

    def begin(summary, seconds):
        nonlocal progress
        if summary.finished:
            logging.info("%d files are finished already", summary.finished)
        progress = Progress(seconds)

    start = time.monotonic()
    listed = os.path.join(values.output_dir, "bad_files.csv")
    try:
        done = folder.embed_to_folder(
            model,
            manifest,
            names,
            values.output_dir,
            config,
            form=values.form,
            overwrite=values.overwrite,
            bad_files=bad_files,
            on_start=begin,
            on_progress=lambda seconds: progress(seconds),
        )
    finally:
        if progress is not None:
            progress.close()
        if bad_files.entries:
            bad_files.write(listed)
        elif os.path.exists(listed):
            os.remove(listed)
    minutes = (time.monotonic() - start) / 60
    told = (
        f"{done.embeddings:,} embeddings of {done.files:,} files, {done.seconds / 3600:.2f} h of "
        f"sound, in {minutes:.1f} min ({done.seconds / 3600 / minutes:.2f} h/min)"
    )
    if done.finished:
        told += f"; {done.finished:,} files were finished before"
    if bad_files.entries:
        told += f"\n{len(bad_files.entries)} files could not be used, see {listed}"
    return told


def run() -> None:
    """Entry point of the command."""
    terminal.start(__name__, define_flags, main)


if __name__ == "__main__":
    sys.exit(run())
