"""Parquet tables with sound in them, as the Hugging Face hub's `datasets` writes them.

In: a folder of `.parquet` files, such as `data/train-00000-of-00004.parquet`, in which a column
holds `{"bytes": …, "path": …}`. Out: one row per sound, read in place (`audio.containers`). The
tables are read without that column.

| what | how it is known |
|---|---|
| sound | `?audio=COLUMN`; else the only column with `bytes` and `path` |
| labels | `?labels=COLUMN;COLUMN`; else the only column of classes, else that named `label` … |
| class names | from the metadata that `datasets` writes; else the values themselves |
| recording | a column `recording_id`, `src_file`, `fsID`, `video_id` …; else each sound is one |
| split | a column `split` or `fold`; else the file's or folder's name, if these differ |
"""

import json
from typing import Any

import pandas as pd
from absl import logging

from audio_triplet.audio import containers
from audio_triplet.corpora import fields, published
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import AudioError, CorpusError


def load(location: str) -> Manifest:
    """The tables as a manifest.

    Args:
      location: The folder or a file; then, after "?", which columns hold what: see the module.

    Returns:
      One row per sound: path = `FILE/COLUMN/ROW/NAME`.

    Raises:
      CorpusError: No table, one that cannot be read, no or several columns of sound, several of
        labels, or no such column.
    """
    where = fields.Location.parse("parquet", location)
    files = fields.files_below(where.path, containers.PARQUET, "Parquet tables")
    parts = []
    for path in files:
        try:
            parts.append(_rows(path, where))
        except AudioError as error:
            raise CorpusError(str(error)) from error
    table = pd.concat(parts, ignore_index=True)
    by_name = [fields.split_of_file(where.path, path) for path in files]
    if (table["split"] == "").all() and len(set(by_name)) > 1:
        table["split"] = table["file"].map(dict(zip(files, by_name, strict=True)))
    return _manifest(table, f"parquet:{where.path}")


def _manifest(table: pd.DataFrame, name: str) -> Manifest:
    """The columns path, recording_id, labels, split as a manifest."""
    order = fields.split_order(table["split"].unique())
    split = published.in_last_split(table["split"], table["recording_id"], order, name)
    return Manifest(table.drop(columns="file").assign(split=split), name)


def _rows(path: str, where: fields.Location) -> pd.DataFrame:
    """One table's rows: path, recording_id, labels, split, file."""
    file = containers.open_parquet(path)
    schema = file.schema_arrow
    features = _features(schema.metadata or {})
    sound = where.audio or _sound_column(path, schema, features)
    labels = where.labels or _label_columns(path, schema, features, sound)
    for column in (sound, *labels):
        if column not in schema.names:
            raise CorpusError(f"{path}: no column {column!r} among {', '.join(schema.names)}")
    recording = fields.first_of(schema.names, fields.RECORDINGS)
    split = fields.first_of(schema.names, fields.SPLITS)
    logging.info(
        "%s: %d rows; sound: %s; labels: %s; recordings: %s; splits: %s",
        path, file.metadata.num_rows, sound, ", ".join(labels) or "none", recording or "each row",
        split or "by file",
    )  # fmt: skip
    named = [column for column in (*labels, recording, split) if column is not None]
    has_path = f"{sound}.path" in [
        file.metadata.schema.column(n).path for n in range(file.metadata.num_columns)
    ]
    wanted = list(dict.fromkeys(named)) + ([f"{sound}.path"] if has_path else [])
    count = file.metadata.num_rows
    cells: dict[str, list] = {}
    if wanted:
        columns = file.read(columns=wanted)
        cells = {column: columns.column(column).to_pylist() for column in columns.column_names}
    names = [(cell or {}).get("path") or "" for cell in cells.get(sound, [{}] * count)]
    paths = [containers.parquet_path(path, sound, row, name) for row, name in enumerate(names)]
    classes = [_class_names(features.get(column)) for column in labels]
    joined = [
        ";".join(
            label
            for column, known in zip(labels, classes, strict=True)
            for label in fields.as_labels(cells[column][row], known)
        )
        for row in range(count)
    ]
    recordings = paths
    if recording is not None:
        given = [fields.as_text(value) for value in cells[recording]]
        recordings = [name or path for name, path in zip(given, paths, strict=True)]
    splits = [""] * count
    if split is not None:
        known = _class_names(features.get(split))
        splits = [
            fields.split_named((fields.as_labels(value, known) or [""])[0])
            for value in cells[split]
        ]
    return pd.DataFrame(
        {
            "path": paths,
            "recording_id": recordings,
            "labels": joined,
            "split": splits,
            "file": path,
        },
        dtype=object,
    )


def _features(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    """What `datasets` says of the columns; {} if the table is not its."""
    try:
        return dict(json.loads(metadata[b"huggingface"])["info"]["features"])
    except (KeyError, TypeError, ValueError):
        return {}


def _sound_column(path: str, schema: Any, features: dict[str, Any]) -> str:
    """The column of sound: what the metadata calls audio, else what has bytes and a path."""
    found = [name for name in schema.names if _kind(features.get(name)) == "Audio"]
    if not found:
        found = [
            field.name
            for field in schema
            if _kind(features.get(field.name)) in ("", "Audio")
            and {"bytes", "path"} <= {child.name for child in _children(field.type)}
        ]
    if len(found) > 1:
        raise CorpusError(
            f"{path}: {found[0]!r} and {found[1]!r} both hold sound; name one: ?audio={found[0]}"
        )
    if not found:
        raise CorpusError(
            f"{path}: no column holds sound (bytes and path) among {', '.join(schema.names)}; name "
            "one of bytes: ?audio=COLUMN"
        )
    return found[0]


def _label_columns(path: str, schema: Any, features: dict[str, Any], sound: str) -> tuple[str, ...]:
    """The column of labels, if there is one."""
    names = [name for name in schema.names if name != sound]
    classes = [name for name in names if _class_names(features.get(name))]
    classes = [name for name in classes if name.lower() not in fields.SPLITS]
    if len(classes) == 1:
        return (classes[0],)
    known = [name.lower() for name in classes] or fields.LABELS
    found = fields.choose(names, known, "labels", path)
    return () if found is None else (found,)


def _children(kind: Any) -> list[Any]:
    """The fields of a column that is a structure."""
    import pyarrow

    is_struct = pyarrow.types.is_struct(kind)
    return [kind.field(n) for n in range(kind.num_fields)] if is_struct else []


def _kind(feature: Any) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _class_names(feature: Any) -> list[str]:
    """The names of a column of classes, or of lists of them; [] for others."""
    if isinstance(feature, list) and len(feature) == 1:  # as older versions write lists
        return _class_names(feature[0])
    if _kind(feature) == "ClassLabel":
        return [str(name) for name in feature.get("names") or ()]
    return (
        _class_names(feature["feature"])
        if isinstance(feature, dict) and "feature" in feature
        else []
    )
