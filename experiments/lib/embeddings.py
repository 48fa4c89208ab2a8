"""Embeddings of a table's rows: kept from an earlier run, or trained and made now."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from audio_triplet.errors import UsageError
from audio_triplet.evaluation import table_rows
from audio_triplet.evaluation.table_rows import BASELINE, JOINT, RANDOM, RELEASED, SHUFFLED
from audio_triplet.training import initial
from experiments.lib import kept
from experiments.lib.settings import ExperimentSettings

if TYPE_CHECKING:
    from audio_triplet.embeddings.embedding_set import EmbeddingSet
    from audio_triplet.embeddings.representations import Representation
    from experiments.lib.corpus import Corpus


@dataclasses.dataclass(frozen=True)
class EmbeddingStore:
    """Embeddings of all segments of a corpus: a file per run, and a file of what it depends on.

    Attributes:
      folder: Their folder.
      make_missing: Whether missing ones are made; otherwise a missing one is an error.
    """

    folder: str
    make_missing: bool = True

    @classmethod
    def of(cls, settings: ExperimentSettings, rescore: bool) -> EmbeddingStore:
        """The store of an experiment; with `rescore` nothing is made."""
        return cls(os.path.join(settings.output_dir, "embeddings"), not rescore)

    def path(self, run: str) -> str:
        """The file of a run's embeddings."""
        return os.path.join(self.folder, f"{run}.npz")

    def read(self, run: str, corpus: Corpus) -> EmbeddingSet:
        """Kept embeddings."""
        from audio_triplet.embeddings import set_files

        return set_files.load_for_corpus(self.path(run), corpus.manifest)

    def get(
        self,
        run: str,
        corpus: Corpus,
        origin: dict,
        make: Callable[[], tuple[Representation, dict]],
    ) -> tuple[EmbeddingSet, dict]:
        """Embeddings as kept, or made now and kept.

        Args:
          run: Name of the run.
          corpus: What is embedded.
          origin: What they depend on: kept ones of another origin are not used.
          make: Returns the representation, and a dict of notes on its making to keep.

        Returns:
          The embeddings, and the dict.

        Raises:
          UsageError: They are missing, and `make_missing` is false.
        """
        from audio_triplet.embeddings import embed, set_files

        path = self.path(run)
        earlier = kept.read_json(f"{path}.json") or {}
        remembered = earlier.pop("made", {})
        there = os.path.exists(path)
        if there and kept.are_same(earlier, origin):
            return self.read(run, corpus), remembered
        if not self.make_missing:
            raise UsageError(
                f"{path}: {'is of other settings' if there else 'is not there'}; give the flags it "
                "was made with, or leave out --rescore to make it"
            )
        representation, remembered = make()
        embeddings = embed.embed_shards(corpus.everything, corpus.manifest, representation)
        os.makedirs(self.folder, exist_ok=True)
        set_files.save_for_corpus(embeddings, path)
        kept.write_json(f"{path}.json", origin | ({"made": remembered} if remembered else {}))
        return embeddings, remembered


def run_name(row: str, seed: int, fold: str = "") -> str:
    """Name of a row's run in the files below the experiment's folder."""
    parts = [row, fold, f"seed{seed}" if table_rows.of(row).seeded else ""]
    return "-".join(part for part in parts if part)


def embedded_as(row: str, seed: int, fold: str = "") -> str:
    """Name of the run that makes a row's embeddings."""
    # Untrained representations are the same for every fold.
    fold = fold if table_rows.of(row).trained else ""
    return run_name(JOINT if row == SHUFFLED else row, seed, fold)


def origin(settings: ExperimentSettings, corpus: Corpus, row: str, seed: int) -> dict:
    """What a row's embeddings depend on: its run (None for the untrained) and the corpus."""
    if not table_rows.of(row).seeded:
        model = {"model": initial.describe(initial.RELEASED).digest} if row == RELEASED else {}
        return {"run": None, "corpus": corpus.fingerprint} | model
    config = dataclasses.asdict(settings.run_config(_triplets(row), corpus, seed))
    if not table_rows.of(row).trained:
        return {
            "run": None,
            "encoder": config["encoder"],
            "seed": seed,
            "corpus": corpus.fingerprint,
        }
    return {"run": config, "corpus": corpus.fingerprint}


def _triplets(row: str) -> str:
    """The triplets that a row's encoder is trained on, or would be."""
    return JOINT if row in (SHUFFLED, RANDOM) else row


def of_row(
    settings: ExperimentSettings,
    corpus: Corpus,
    row: str,
    seed: int,
    fold: str = "",
    rescore: bool = False,
) -> EmbeddingSet:
    """A row's embeddings of all segments, as kept by an earlier run, or trained and made now.

    Args:
      settings: The folder, and how encoders are trained.
      corpus: What is embedded.
      row: The row.
      seed: Seed of its run.
      fold: Its test side, if several are tested on in turn.
      rescore: Whether a missing embedding is an error.

    Raises:
      UsageError: They are missing, with `rescore`.
    """
    from audio_triplet import models
    from audio_triplet.embeddings import representations, saved_model
    from audio_triplet.training import checkpoints
    from experiments.lib import runs

    run = embedded_as(row, seed, fold)

    def make() -> tuple[Representation, dict]:
        if row == RELEASED:
            return saved_model.Model(initial.describe(initial.RELEASED).path).network, {}
        if not table_rows.of(row).seeded:
            return (
                representations.flat if row == BASELINE else representations.band_statistics
            ), {}
        config = settings.run_config(_triplets(row), corpus, seed)
        if not table_rows.of(row).trained:
            return models.build(config.encoder, seed=seed), {}
        run_dir = os.path.join(settings.output_dir, "runs", run)
        runs.train(config, corpus.train, run_dir, strategy=settings.build_strategy())
        return checkpoints.load_encoder(run_dir), {}

    store = EmbeddingStore.of(settings, rescore)
    return store.get(run, corpus, origin(settings, corpus, row, seed), make)[0]
