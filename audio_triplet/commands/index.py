"""Builds, extends and inspects an index of sound, to be searched by `audio-triplet search`.

    audio-triplet index PATH/TO/SOUND --index=archive.index
    audio-triplet index --index=archive.index

The first embeds the sound and adds it; run again it adds what is new and what has changed.
--embeddings adds what `audio-triplet embed` wrote. The second says what the index holds. Adding may
be stopped at any time: what was added stays, and the same command continues. An index belongs to
one model and does not take the vectors of another.

    audio-triplet index PATH/TO/SOUND --index=s3://bucket/archive.index

An address is that of an object store; search, browse and publish take it too, on any machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from absl import flags, logging

from audio_triplet import storage
from audio_triplet.commands import config_flags
from audio_triplet.config import EmbedConfig, TripletConfig
from audio_triplet.errors import SearchError, UsageError
from audio_triplet.search.index_options import CODED_FROM, DTYPES, FAISS_FROM, KINDS

if TYPE_CHECKING:
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.embedding_set import EmbeddingSet
    from audio_triplet.embeddings.other_models import Embedder
    from audio_triplet.pipelines.runners import Parsed
    from audio_triplet.search.index_format import IndexInfo
    from audio_triplet.search.index_writer import Writer


def define_flags() -> None:
    """Defines the verb's flags."""
    config_flags.define_labels_flag("none")
    flags.DEFINE_string(
        "index",
        None,
        "Folder of the index, or its address in an object store (extra [store]), "
        "s3://BUCKET/NAME or gs://BUCKET/NAME, of which this machine keeps a copy.",
        required=True,
    )
    config_flags.define_model_flag("the index's own, or, for a new index, the released one")
    flags.DEFINE_list(
        "embeddings", [], "Also add these: files or folders that `audio-triplet embed` wrote."
    )
    flags.DEFINE_enum("dtype", "float32", DTYPES, "Of a new index's vectors.")
    flags.DEFINE_float(
        "silence_energy",
        TripletConfig.silence_energy,
        "Sound whose mean mel energy per cell is at most this is silent, and is left out.",
    )
    flags.DEFINE_enum(
        "faiss",
        "auto",
        ("auto", "none", *KINDS),
        "Also build a FAISS index of this kind; "
        f"auto: ivf from {FAISS_FROM:,} vectors on, ivfpq, which needs a fifth of the memory, from "
        f"{CODED_FROM:,}. Exact search is quick below that.",
    )
    flags.DEFINE_boolean(
        "find_duplicates",
        True,
        "Find recordings that are there twice, under two names, coded anew, louder or later; they "
        "are listed in duplicates.csv of the index, and nothing is removed.",
    )
    flags.DEFINE_float("recall", 0.95, "Share of the ten nearest that FAISS must find.")
    flags.DEFINE_list(
        "merge", [], "Also add what these indices hold, made apart by the same model."
    )
    config_flags.define_truncated_flag("use")
    config_flags.define_runner_flag()
    config_flags.define_flags(EmbedConfig)


def main(argv: Sequence[str]) -> None:
    """Runs the verb."""
    from audio_triplet.search import remote_index, tables

    values = flags.FLAGS
    sounds, runner = config_flags.runner_from_flags(argv[1:])
    if sounds or values.embeddings or values.merge or values.faiss in KINDS:
        _check_runner(values.index, runner)
        with contextlib.ExitStack() as opened:
            target = opened.enter_context(remote_index.writing(values.index))
            others = [opened.enter_context(remote_index.reading(path)) for path in values.merge]
            folder = target.folder
            info = tables.read_info(folder) if tables.exists(folder) else None
            known = (
                {"granularity": info.granularity, "hop_seconds": info.hop_seconds} if info else {}
            )
            add(
                folder,
                info,
                sounds,
                values.embeddings,
                config_flags.from_flags(EmbedConfig, preset=known),
                model_path=values.model,
                dtype=values.dtype,
                silence_energy=values.silence_energy,
                faiss=values.faiss,
                recall=values.recall,
                labels=values.labels,
                truncated=values.truncated,
                find_duplicates=values.find_duplicates,
                merged=[*others, *target.set_aside],
                runner=runner,
                own_hop=info is None and not values["hop_seconds"].present,
                on_commit=target.on_commit,
            )
    with remote_index.reading(values.index) as folder:
        print(describe(folder, values.index))


def _check_runner(place: str, runner: Parsed | None) -> None:
    """Checks that a runner's workers see where the index is written."""
    if runner is not None and storage.is_remote(place) and not runner.runner.is_local:
        raise UsageError(
            f"--index={place}: workers of {runner.runner.name} write into a folder that all "
            "machines share; name such a folder, then take it over by audio-triplet index "
            f"--index={place} --merge=FOLDER"
        )


def add(
    folder: str,
    info: IndexInfo | None,
    sounds: Sequence[str],
    embeddings: Sequence[str],
    config: EmbedConfig,
    *,
    model_path: str | None,
    dtype: str,
    silence_energy: float,
    faiss: str,
    recall: float,
    labels: str = "none",
    truncated: str = "use",
    find_duplicates: bool = True,
    merged: Sequence[str] = (),
    runner: Parsed | None = None,
    own_hop: bool = False,
    on_commit: Callable[[], object] | None = None,
) -> None:
    """Adds sound files and sets of embeddings, and builds a FAISS index if that is due.

    Args:
      folder: The index.
      info: What it holds already; None for a new one.
      sounds: Files, folders, manifests.
      embeddings: Files or folders of embeddings.
      config: How sound is embedded.
      model_path: Folder of a SavedModel; None for the index's own or the released one.
      dtype: Type of a new index's vectors.
      silence_energy: Mean mel energy per cell up to which sound is left out.
      faiss: Kind of FAISS index; `auto`, `none` or one of `KINDS`.
      recall: Share of the ten nearest that it must find.
      labels: What labels the sounds, see `inputs.load_inputs`.
      truncated: `use` or `refuse` files of which an end is missing.
      find_duplicates: Whether to find recordings that are there twice.
      merged: Further indices, whose content is added.
      runner: Whose workers embed; None: this process.
      own_hop: Whether a model of others has its own hop, rather than that of `config`.
      on_commit: Called when more has been added for good.
    """
    from audio_triplet.search import duplicates, index_writer, merging, tables

    manifest, sets, model = None, [], None
    if sounds:
        from audio_triplet.commands import inputs

        manifest = inputs.load_inputs(sounds, labels)[0]
    if sounds or embeddings:
        from audio_triplet.embeddings import other_models, set_files

        sets = [set_files.load_set(path) for path in embeddings]
        if sounds or model_path:
            path = _model_path(info, folder, model_path)
            model = other_models.open_embedder(path, config.precision)
            if own_hop:
                config = other_models.with_own_hop(config, model)
    origin = sets[0].origin if sets else None
    if model is None and info is None and origin:  # a new index of vectors that are there already
        config = dataclasses.replace(
            config, granularity=origin.granularity, hop_seconds=origin.hop_seconds
        )
    others = [tables.read_info(path) for path in merged]
    if model is None and info is None and not origin and others:
        config = dataclasses.replace(
            config, granularity=others[0].granularity, hop_seconds=others[0].hop_seconds
        )
        dtype = others[0].dtype
    owner = info or (others[0] if others and not sets else None)
    with index_writer.Writer(
        folder,
        **_owner(model, owner, sets[0] if sets else None, folder),
        granularity=config.granularity,
        hop_seconds=config.hop_seconds,
        dtype=info.dtype if info else dtype,
        silence_energy=silence_energy,
        on_commit=on_commit,
    ) as writer:
        for embedding_set in sets:
            added = writer.add(embedding_set)
            logging.info("%s: %d vectors added", embedding_set.manifest.name, added)
        for path in merged:
            taken = merging.merge(writer, path)
            logging.info("%s: %d segments added", path, taken)
        if merged and find_duplicates:
            duplicates.find(writer)
        if manifest is not None and model is not None:
            _add_sound(writer, model, manifest, config, folder, truncated, find_duplicates, runner)
        if writer.silent:
            logging.info("%d silent vectors were left out", writer.silent)
        writer.commit()
        if writer.replaced:
            logging.info("%d segments of changed files were replaced", writer.replaced)
        duplicates.write_table(folder, writer.tables)
        _accelerate(writer, faiss, recall)
        if sounds or embeddings or merged:
            _provide_encoder(writer, model)


def _provide_encoder(writer: Writer, model: Embedder | None) -> None:
    """Puts what embeds queries at once into the index."""
    from audio_triplet.embeddings import encoder_file, model_files

    info = writer.info
    beside = [*([model.path] if model else []), info.model, *model_files.released_folders()]
    encoder_file.provide(writer.folder, info.model_digest, model, beside)


def _owner(
    model: Embedder | None, info: IndexInfo | None, vectors: EmbeddingSet | None, folder: str
) -> dict:
    """The model that an index belongs to: the one given, the index's own, or the vectors'."""
    if model is not None:
        return {"model": model.path, "model_digest": model.digest, "dim": model.embedding_size}
    if info is not None:
        return {"model": info.model, "model_digest": info.model_digest, "dim": info.dim}
    if vectors is not None and vectors.origin is not None:
        origin, dim = vectors.origin, vectors.vectors.shape[1]
        return {"model": origin.model, "model_digest": origin.model_digest, "dim": dim}
    raise SearchError(f"{folder}: holds no index; name sound or --embeddings to add")


def _model_path(info: IndexInfo | None, folder: str, given: str | None) -> str:
    from audio_triplet.embeddings import model_files

    if info is None:
        return given or model_files.released_model_path()
    return model_files.find_model(given, info.model, info.model_digest, folder)


def _add_sound(
    writer: Writer,
    model: Embedder,
    manifest: Manifest,
    config: EmbedConfig,
    folder: str,
    truncated: str,
    find_duplicates: bool,
    runner: Parsed | None,
) -> None:
    """Embeds what the index does not hold yet, and adds it as it comes."""
    from audio_triplet.commands.progress import Progress
    from audio_triplet.data.bad_files import BadFiles, listed_in
    from audio_triplet.search import adding

    elsewhere = None
    if runner:
        from audio_triplet.search import index_pipeline

        elsewhere = index_pipeline.ByPipeline(runner)
    progress: Progress | None = None

    def on_start(known: int, seconds: float) -> None:
        nonlocal progress
        if known:
            logging.info("%d segments are in the index already", known)
        if seconds:
            progress = Progress(seconds)

    try:
        with listed_in(folder, BadFiles(truncated)) as bad_files:
            adding.add_files(
                writer,
                model,
                manifest,
                config,
                bad_files,
                on_start,
                lambda seconds: progress(seconds) if progress else None,
                find_duplicates,
                elsewhere,
            )
    finally:
        if progress is not None:
            progress.close()
    bad_files.write_summary(folder, manifest.frame.attrs.get("passed_over"))
    for line in bad_files.summary(folder).splitlines():
        logging.info("%s", line)


def _accelerate(writer: Writer, kind: str, recall: float) -> None:
    """Builds the FAISS index that is asked for, or that the number of vectors asks for."""
    total = sum(part.vectors for part in writer.info.parts)
    is_asked_for = kind != "auto"
    if kind == "auto":
        is_due = total >= FAISS_FROM and writer.uncovered > total / 10
        kind = ("ivfpq" if total >= CODED_FROM else "ivf") if is_due else "none"
    if kind == "none":
        return
    try:
        built = writer.accelerate(kind, recall)
    except SearchError as error:
        if is_asked_for or kind != "ivfpq":
            raise
        logging.warning("%s; search stays exact", error)  # among many copies codes tell too little
    else:
        logging.info("%s built in %.0f s", built.kind, built.build_seconds)


def describe(folder: str, name: str) -> str:
    """What an index holds, in a few lines.

    Args:
      folder: The index.
      name: What it is called there.
    """
    from audio_triplet.search import duplicates, index

    found = index.Index(folder)
    info = found.info
    granularity = (
        f"a patch every {info.hop_seconds:g} s"
        if info.granularity == "patch"
        else "one per segment"
    )
    lines = [
        f"{name}: {len(found):,} vectors of {found.segments:,} segments, {found.files:,} files, "
        f"{found.bytes / 1e6:,.1f} MB",
        f"  model    {info.model} ({info.model_digest[:12]})",
        f"  vectors  {info.dtype}[{info.dim}], {granularity}",
        f"  parts    {len(info.parts)}",
    ]
    faiss = info.faiss
    if faiss:
        covered = sum(part.vectors for part in info.parts if part.id in faiss.parts)
        effort = "nprobe" if faiss.kind.startswith("IVF") else "efSearch"
        lines.append(
            f"  faiss    {faiss.kind} of {covered:,} vectors, {effort} {faiss.effort}: "
            f"recall@10 {faiss.recall:.3f} of exact search; {faiss.bytes / 1e6:,.1f} MB, built in "
            f"{faiss.build_seconds:.0f} s"
        )
    else:
        lines.append("  search   exact")
    if pairs := found.tables.duplicates():
        exact = sum(same.kind == "exact" for same in pairs)
        lines.append(
            f"  twice    {len(pairs):,} pairs are the same recording, {exact:,} of them to the "
            f"sample: {os.path.join(folder, duplicates.TABLE_FILE)}"
        )
    return "\n".join(lines)
