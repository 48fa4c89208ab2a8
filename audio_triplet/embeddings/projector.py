"""Embeddings for TensorBoard's Embedding Projector."""

import os
from collections.abc import Mapping, Sequence

import numpy as np


def write_projector(
    folder: str, vectors: np.ndarray, columns: Mapping[str, Sequence[object]]
) -> None:
    """Writes embeddings for TensorBoard's Embedding Projector (`tensorboard --logdir=FOLDER`).

    Args:
      folder: Output folder; made if missing.
      vectors: float[n, dim].
      columns: Metadata of the vectors: name → n values; at least one column.

    Raises:
      ValueError: A column has another length, or there is none.
    """
    if not columns or any(len(values) != len(vectors) for values in columns.values()):
        raise ValueError(f"each column must have {len(vectors)} values, and there must be one")
    os.makedirs(folder, exist_ok=True)
    rows = list(zip(*columns.values(), strict=True))
    if len(columns) > 1:  # the projector takes a single column for data from its first line on
        rows = [tuple(columns), *rows]
    metadata = ("\t".join(_cell(value) for value in row) for row in rows)
    lines = ("\t".join(f"{value:.6g}" for value in vector) for vector in vectors)
    for name, content in (("metadata.tsv", metadata), ("vectors.tsv", lines)):
        with open(os.path.join(folder, name), "w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in content)
    with open(os.path.join(folder, "projector_config.pbtxt"), "w", encoding="utf-8") as file:
        file.write(
            'embeddings {\n  tensor_name: "audio_triplet"\n  tensor_path: "vectors.tsv"\n'
            '  metadata_path: "metadata.tsv"\n}\n'
        )


def _cell(value: object) -> str:
    """A value on one line, without tabs; an empty line would end the table."""
    printable = "".join(char if char.isprintable() else " " for char in str(value))
    return printable.strip() or "–"
