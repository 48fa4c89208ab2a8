"""Embeddings of a table's rows: kept from an earlier run, or trained and made now."""

import dataclasses
import os

from absl import flags

from audio_triplet.errors import UsageError
from experiments.lib import shared_flags, tables
from experiments.lib.runs import train
from experiments.lib.table_rows import BASELINE, FIXED, RANDOM, SHUFFLED, UNTRAINED


def run_name(name: str, seed: int, fold: str = "") -> str:
    """Name of a row's run in the files below --output_dir."""
    parts = [name, fold, "" if name in FIXED else f"seed{seed}"]
    return "-".join(part for part in parts if part)


def made_of(corpus, name: str, seed: int) -> dict:
    """What a row's embeddings depend on: its run (None for the untrained) and the corpus."""
    if name in FIXED:
        return {"run": None, "corpus": corpus.fingerprint}
    config = dataclasses.asdict(shared_flags.run_config(_triplets(name), corpus, seed))
    if name in UNTRAINED:
        return {
            "run": None,
            "encoder": config["encoder"],
            "seed": seed,
            "corpus": corpus.fingerprint,
        }
    return {"run": config, "corpus": corpus.fingerprint}


def _triplets(name: str) -> str:
    """The triplets that a row's encoder is trained on, or would be."""
    return "joint" if name in (SHUFFLED, RANDOM) else name


def open_embeddings(corpus, name: str, seed: int, fold: str = ""):
    """A row's embeddings of all segments, as saved below --output_dir, or trained and made now.

    Args:
      corpus: An `experiments.data.Corpus`.
      name: The row.
      seed: Seed of its run.
      fold: Its test side, if several are tested on in turn.

    Returns:
      `audio_triplet.embeddings.segments.SegmentEmbeddings`.
    """
    from audio_triplet import models
    from audio_triplet.embeddings import segments
    from audio_triplet.training import checkpoints

    origin, called = made_of(corpus, name, seed), embedded_as(name, seed, fold)
    name = "joint" if name == SHUFFLED else name

    def representation():
        if name in FIXED:
            return (segments.flat if name == BASELINE else segments.band_statistics), {}
        if name == RANDOM:
            encoder = shared_flags.run_config("joint", corpus, seed).encoder
            return models.build(encoder, seed=seed), {}
        run_dir = os.path.join(flags.FLAGS.output_dir, "runs", called)
        config = shared_flags.run_config(name, corpus, seed)
        train(config, corpus.train, run_dir, strategy=shared_flags.build_strategy())
        return checkpoints.load_encoder(run_dir), {}

    return kept_embeddings(corpus, called, origin, representation)[0]


def embedded_as(name: str, seed: int, fold: str) -> str:
    """Name of the run that a row's embeddings are of."""
    # What is not trained is the same for every fold.
    return run_name("joint" if name == SHUFFLED else name, seed, "" if name in UNTRAINED else fold)


def kept_embeddings(corpus, called: str, origin: dict, representation):
    """Embeddings of all segments, as saved below --output_dir, or made now and saved.

    Args:
      corpus: An `experiments.data.Corpus`.
      called: Name of the run.
      origin: What they depend on: saved ones of another origin are not used.
      representation: Returns what to embed by, see `audio_triplet.embeddings.segments`, and a dict of what
        is to be remembered of its making.

    Returns:
      `audio_triplet.embeddings.segments.SegmentEmbeddings`, and the dict.

    Raises:
      UsageError: They are not there, and --rescore wants nothing trained.
    """
    from audio_triplet.embeddings import segments

    path = embeddings_path(called)
    told = tables.read_json(f"{path}.json") or {}
    remembered = told.pop("made", {})
    there = os.path.exists(path)
    if there and told == tables.as_read(origin):
        return segments.SegmentEmbeddings.load(path, corpus.manifest), remembered
    if flags.FLAGS.rescore:
        raise UsageError(
            f"{path}: {'is of other settings' if there else 'is not there'}; give the flags it was "
            "made with, or leave out --rescore to make it"
        )
    by, remembered = representation()
    embeddings = segments.embed(corpus.everything, corpus.manifest, by)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    embeddings.save(path)
    tables.write_json(f"{path}.json", origin | ({"made": remembered} if remembered else {}))
    return embeddings, remembered


def embeddings_path(called: str) -> str:
    """Where the embeddings of a run are kept."""
    return os.path.join(flags.FLAGS.output_dir, "embeddings", f"{called}.npz")
