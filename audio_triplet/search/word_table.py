"""A table of vectors by word: what each word sounds like, without the sounds.

It lies beside a released model as `words.npz`, so that a first `--word` works on a fresh machine;
`experiments.release` makes it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping

import numpy as np

from audio_triplet import storage
from audio_triplet.errors import SearchError

WORDS_FILE = "words.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class WordTable:
    """Words and a few vectors of each.

    Attributes:
      model_digest: Of the model that the vectors are by.
      vectors: Word → float[n, dim] of unit norm.
      recordings: Word → number of recordings that its vectors were chosen from.
      provenance: How the table was made.
    """

    model_digest: str
    vectors: Mapping[str, np.ndarray]
    recordings: Mapping[str, int]
    provenance: Mapping

    def write(self, path: str) -> None:
        """Writes it, whole or not at all; vectors in float16."""
        words = sorted(self.vectors)
        counts = [len(self.vectors[word]) for word in words]
        told = {"model_digest": self.model_digest, "provenance": dict(self.provenance)}
        storage.save_arrays(
            path,
            {
                "words": np.array(words),
                "first": np.cumsum([0, *counts]).astype(np.int32),
                "vectors": np.concatenate([self.vectors[word] for word in words]).astype("f2"),
                "recordings": np.array([self.recordings[word] for word in words], np.int32),
                "origin": np.array(json.dumps(told)),
            },
        )

    @classmethod
    def read(cls, path: str) -> WordTable:
        """Reads it.

        Args:
          path: The file, or the folder that it is in.

        Raises:
          SearchError: There is none, or it is damaged.
        """
        if os.path.isdir(path):
            path = os.path.join(path, WORDS_FILE)
        try:
            with storage.open_arrays(path) as content:
                words, first = content["words"].tolist(), content["first"].tolist()
                vectors = content["vectors"].astype(np.float32)
                told = json.loads(content["origin"].item())
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                return cls(
                    told["model_digest"],
                    {
                        word: vectors[begin:end]
                        for word, begin, end in zip(words, first[:-1], first[1:], strict=True)
                    },
                    dict(zip(words, content["recordings"].tolist(), strict=True)),
                    told["provenance"],
                )
        except FileNotFoundError:
            raise SearchError(f"{path}: there is no table of words; name another one") from None
        except (OSError, ValueError) as error:
            raise SearchError(f"{path}: is damaged ({error}); install it again") from error
