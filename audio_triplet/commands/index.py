"""Builds, extends and inspects an index of sound, to be searched by audio-triplet search.

    audio-triplet index PATH/TO/SOUND --index=archive.index --model=runs/mine/export
    audio-triplet index --index=archive.index

The first embeds the sound and adds it; run again it adds what is new and what has changed.
--embeddings adds what audio-triplet embed wrote. The second says what the index holds. Adding may
be stopped at any time: what was added stays, and the same command goes on. An index belongs to
one model and refuses the vectors of another. Also: audio-triplet index.
"""

import dataclasses
import os
import sys

from absl import flags, logging

from audio_triplet.commands import config_flags, inputs, terminal
from audio_triplet.commands.progress import Progress
from audio_triplet.config import EmbedConfig, TripletConfig
from audio_triplet.embeddings import model_files
from audio_triplet.errors import SearchError
from audio_triplet.search import index, index_writer
from audio_triplet.search.index_format import DTYPES, FAISS_FROM, INDEX_FILE, KINDS, IndexInfo


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("index", None, "Folder of the index.", required=True)
    flags.DEFINE_string(
        "model", None, "Folder of a SavedModel; by default the one that the index was begun with."
    )
    flags.DEFINE_list(
        "embeddings", [], "Also add these: files or folders that audio-triplet embed wrote."
    )
    flags.DEFINE_enum("dtype", "float32", DTYPES, "Of a new index's vectors.")
    flags.DEFINE_float(
        "silence_energy",
        TripletConfig.silence_energy,
        "Sound with a mean mel energy per cell up to this is silence, and left out.",
    )
    flags.DEFINE_enum(
        "faiss",
        "auto",
        ("auto", "none", *KINDS),
        "Build a FAISS index too, of this kind; "
        f"auto: ivf from {FAISS_FROM:,} vectors on. Exact search is quick below that.",
    )
    flags.DEFINE_float("recall", 0.95, "Share of the ten nearest that FAISS must find.")
    config_flags.define_flags(EmbedConfig)


def main(argv):
    """Runs the command."""
    values = flags.FLAGS
    terminal.quiet_tensorflow()
    with terminal.clear_errors("audio-triplet index"):
        begun = os.path.exists(os.path.join(values.index, INDEX_FILE))
        info = IndexInfo.read(values.index) if begun else None
        if argv[1:] or values.embeddings or values.faiss in KINDS:
            add(argv[1:], info, values)
        print(describe(values.index))


def add(arguments: list[str], info: IndexInfo | None, values) -> None:
    """Adds sound files and sets of embeddings, and builds a FAISS index if that is due.

    Args:
      arguments: Files, folders, manifests.
      info: What there is already.
      values: The flags.
    """
    manifest = inputs.load_inputs(arguments)[0] if arguments else None
    known = {"granularity": info.granularity, "hop_seconds": info.hop_seconds} if info else {}
    config = config_flags.from_flags(EmbedConfig, preset=known)
    sets, model = [], None
    if arguments or values.embeddings:
        from audio_triplet.embeddings import saved_model, set_files

        sets = [set_files.load_set(path) for path in values.embeddings]
        if arguments or values.model:
            model = saved_model.Model(_model_path(info, values), config.precision)
    if model is not None:
        whose = {"model": model.path, "model_digest": model.digest, "dim": model.embedding_size}
    elif info is not None:
        whose = {"model": info.model, "model_digest": info.model_digest, "dim": info.dim}
    elif sets:
        origin = sets[0].origin
        whose = {
            "model": origin.model,
            "model_digest": origin.model_digest,
            "dim": sets[0].vectors.shape[1],
        }
        config = dataclasses.replace(
            config, granularity=origin.granularity, hop_seconds=origin.hop_seconds
        )
    else:
        raise SearchError(f"{values.index}: holds no index, and nothing is named to add")
    with index_writer.Writer(
        values.index,
        **whose,
        granularity=config.granularity,
        hop_seconds=config.hop_seconds,
        dtype=info.dtype if info else values.dtype,
        silence_energy=values.silence_energy,
    ) as writer:
        for one in sets:
            logging.info("%s: %d vectors added", one.manifest.name, writer.add(one))
        if manifest is not None:
            _add_sound(writer, model, manifest, config, values.index)
        if writer.silent:
            logging.info("%d silent vectors were left out", writer.silent)
        writer.commit()
        if writer.replaced:
            logging.info("%d segments of changed files were replaced", writer.replaced)
        _accelerate(writer, values)


def _model_path(info: IndexInfo | None, values) -> str:
    if info is None:
        return values.model or model_files.released_model_path()
    return model_files.find_model(values.model, info.model, info.model_digest, values.index)


def _add_sound(
    writer: index_writer.Writer, model, manifest, config: EmbedConfig, folder: str
) -> None:
    """Embeds what the index does not hold yet, and adds it as it comes."""
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.search import adding

    bad_files, progress = BadFiles(), None
    listed = os.path.join(folder, "bad_files.csv")

    def on_start(known: int, seconds: float) -> None:
        nonlocal progress
        if known:
            logging.info("%d segments are in the index already", known)
        if seconds:
            progress = Progress(seconds)

    try:
        adding.add_files(
            writer,
            model,
            manifest,
            config,
            bad_files,
            on_start,
            lambda seconds: progress(seconds) if progress else None,
        )
    finally:
        if progress is not None:
            progress.close()
        if bad_files.entries:
            bad_files.write(listed)
            logging.warning("%d files could not be used, see %s", len(bad_files.entries), listed)


def _accelerate(writer: index_writer.Writer, values) -> None:
    """Builds the FAISS index that is asked for, or that the number of vectors asks for."""
    total = sum(part.vectors for part in writer.info.parts)
    kind = values.faiss
    if kind == "auto":
        due = total >= FAISS_FROM and writer.uncovered > total / 10
        kind = "ivf" if due else "none"
    if kind != "none":
        told = writer.accelerate(kind, values.recall)
        logging.info("%s built in %.0f s", told.kind, told.build_seconds)


def describe(folder: str) -> str:
    """What an index holds, in a few lines."""
    found = index.Index(folder)
    info = found.info
    lines = [
        f"{folder}: {len(found):,} vectors of {found.segments:,} segments, {found.files:,} files, "
        f"{found.bytes / 1e6:,.1f} MB",
        f"  model    {info.model} ({info.model_digest[:12]})",
        f"  vectors  {info.dtype}[{info.dim}], "
        + (
            f"a patch every {info.hop_seconds:g} s"
            if info.granularity == "patch"
            else "one per segment"
        ),
        f"  parts    {len(info.parts)}",
    ]
    if info.faiss:
        told = info.faiss
        covered = sum(part.vectors for part in info.parts if part.name in told.parts)
        effort = "nprobe" if told.kind.startswith("IVF") else "efSearch"
        lines.append(
            f"  faiss    {told.kind} of {covered:,} vectors, {effort} {told.effort}: "
            f"recall@10 {told.recall:.3f} of exact search; {told.bytes / 1e6:,.1f} MB, built in "
            f"{told.build_seconds:.0f} s"
        )
    else:
        lines.append("  search   exact")
    return "\n".join(lines)


def run() -> None:
    """Entry point of the command."""
    terminal.start(__name__, define_flags, main)


if __name__ == "__main__":
    sys.exit(run())
