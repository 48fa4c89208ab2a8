"""Which files are sound, by their names."""

from audio_triplet.audio import formats


def test_extensions_follow_the_installed_library(monkeypatch):
    assert {"wav", "flac", "ogg", "aiff"} <= set(formats.audio_extensions())
    monkeypatch.setattr(formats.soundfile, "available_formats", lambda: {"WAV": "WAV (Microsoft)"})
    assert formats.audio_extensions() == ("wav",)
    assert formats.is_audio("A.WAV")
    assert not formats.is_audio("a.mp3")
