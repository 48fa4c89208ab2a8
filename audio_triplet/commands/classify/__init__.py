"""`audio-triplet classify fit|predict|suggest`."""

from audio_triplet.commands.classify.main import run

__all__ = ["run"]
