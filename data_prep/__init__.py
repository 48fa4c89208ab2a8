"""Adapters that turn a corpus into one manifest; see `data_prep.corpora`."""

from audio_triplet.manifest import CorpusError

__all__ = ["CorpusError"]
