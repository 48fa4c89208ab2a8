"""Which files are sound, by their names."""

from audio_triplet.audio import formats


def test_names_that_are_sound():
    for name in ("A.WAV", "a.M4a", "memo.3gp", "talk.webm", "b.caf", "c.au", "d.snd", "e.rf64"):
        assert formats.is_audio(name)
    for name in ("a.txt", ".a.wav", "wav", "a.mid"):
        assert not formats.is_audio(name)
    assert len(set(formats.audio_extensions())) == len(formats.audio_extensions())
