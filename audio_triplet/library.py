"""The library: the functions that `import audio_triplet` offers to a script or a notebook.

    import audio_triplet

    model = audio_triplet.load()                                # the released model
    found = model.embed("bark.wav")                             # or model.embed(array, sample_rate)
    index = audio_triplet.build_index("archive.index", "PATH/TO/SOUND")
    for hit in index.find("bark.wav", top=10):
        print(hit.score, hit.path, hit.start_seconds, hit.labels)

Importing it is quick: TensorFlow is imported when a model is loaded. Opening and asking an index
needs neither it nor pandas, where the model's encoder file is at hand (`embeddings.quick_model`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.other_models import AnyModel, Embedder
    from audio_triplet.search.sound_index import SoundIndex


def load(path: str | os.PathLike | None = None, precision: str = "float32") -> AnyModel:
    """Loads a model.

    Args:
      path: Folder of an exported SavedModel; None: the released model. Or one of others, which has
        no `.encoder`: `hear:MODULE[?weights=FILE]`, `tflite:FILE`, `onnx:FILE`.
      precision: `float32`, the same on every machine; `mixed_bfloat16`, where hardware has it
        several times as fast and different in the third decimal; `auto`: that where it is faster.

    Returns:
      The model: `.embed` makes embeddings of a sound, `.encoder` is the plain Keras model.

    Raises:
      ExportError: There is none, or it is damaged.
    """
    from audio_triplet.embeddings.other_models import open_model

    return open_model(None if path is None else os.fspath(path), precision)


def open_index(
    folder: str | os.PathLike, model: str | os.PathLike | Embedder | None = None
) -> SoundIndex:
    """Opens an index of sound for searching.

    Args:
      folder: Its folder, made by `build_index` or `audio-triplet index`, or its address in an
        object store, such as s3://bucket/name.
      model: The index's model, or its folder. None: its folder when the index was made, or the
        released model.

    Returns:
      The index: `.find` finds the sounds most like a sound.

    Raises:
      SearchError: There is no index, or it is damaged.
    """
    from audio_triplet.search import remote_index
    from audio_triplet.search.sound_index import SoundIndex

    with remote_index.reading(os.fspath(folder)) as opened:
        return SoundIndex(opened, model)


def build_index(
    folder: str | os.PathLike,
    sounds: str | os.PathLike | Iterable[str | os.PathLike],
    model: str | os.PathLike | Embedder | None = None,
    labels: Literal["none", "folders"] = "none",
) -> SoundIndex:
    """Makes an index of sound files, or adds new and changed files to one.

    Files that cannot be read are left out, with a warning for each. After a stop, what was added
    stays, and the same call continues.

    Args:
      folder: Folder of the index, or its address, see `open_index`.
      sounds: A folder of sound files at any depth, or the files.
      model: A model, or its folder. None: the index's own, for a new one the released model.
      labels: What labels the sounds of a folder: `folders`, the folder just below it that they lie
        in; `none`, nothing.

    Returns:
      The index, opened.

    Raises:
      ConfigError: `labels` is neither.
      CorpusError: There is no sound that can be read.
      SearchError: The index is of another model, or the folder holds something else.
    """
    from audio_triplet.config import EmbedConfig
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.embeddings import mnn_encoder
    from audio_triplet.embeddings.encoder_file import provide
    from audio_triplet.embeddings.other_models import open_embedder, with_own_hop
    from audio_triplet.embeddings.quick_model import QuickModel
    from audio_triplet.search import merging, remote_index
    from audio_triplet.search.adding import add_files
    from audio_triplet.search.index_writer import Writer
    from audio_triplet.search.sound_index import SoundIndex
    from audio_triplet.search.tables import exists

    manifest, config, dtype = _manifest_of(sounds, labels), EmbedConfig(), "float32"
    given = model
    with remote_index.writing(os.fspath(folder)) as target:
        if exists(target.folder):
            opened = SoundIndex(target.folder, model)
            info, model = opened.index.info, opened.query_model
            # An encoder that came with an index, from whomever, is left to LiteRT.
            lent = model is given or model.path == target.folder
            if isinstance(model, QuickModel) and not lent:
                mnn_encoder.serve(model)
            config = EmbedConfig(info.granularity, info.hop_seconds)
            dtype = info.dtype
        else:
            if model is None or isinstance(model, str | os.PathLike):
                model = open_embedder(None if model is None else os.fspath(model))
            config = with_own_hop(config, model)
        with Writer(
            target.folder,
            model=model.path,
            model_digest=model.digest,
            dim=model.embedding_size,
            granularity=config.granularity,
            hop_seconds=config.hop_seconds,
            dtype=dtype,
            on_commit=target.on_commit,
        ) as writer:
            for earlier in target.set_aside:
                merging.merge(writer, earlier)
            add_files(writer, model, manifest, config, BadFiles())
            provide(target.folder, model.digest, model, [model.path])
    # Queries are embedded as by `open_index`, to the last bit.
    return SoundIndex(target.folder, given)


def _manifest_of(sounds: str | os.PathLike | Iterable[str | os.PathLike], labels: str) -> Manifest:
    """The segments to index, each file a recording of its own."""
    import pandas as pd

    from audio_triplet.corpora import folders
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.errors import ConfigError, CorpusError

    if labels not in ("none", "folders"):
        raise ConfigError(f"labels={labels!r} is none of none, folders")
    if isinstance(sounds, str | os.PathLike):
        root = os.path.abspath(os.fspath(sounds))
        if os.path.isdir(root):
            frame = folders.load(root, labelled=labels == "folders").frame
            return Manifest(frame.assign(recording_id=frame["path"]), root)
        sounds = [root]
    paths = [os.path.abspath(os.fspath(path)) for path in sounds]
    if not paths:
        raise CorpusError("no sound given; name a folder, or files")
    return Manifest(pd.DataFrame({"path": paths}), paths[0])
