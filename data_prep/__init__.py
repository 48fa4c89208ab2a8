"""Adapters that turn a corpus into one manifest; see `audio_triplet.corpora.registry`."""

from audio_triplet.errors import CorpusError

__all__ = ["CorpusError"]
