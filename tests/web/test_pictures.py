"""Log mel pictures."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from audio_triplet.web import pictures, templating
from audio_triplet.web.clips import Clips
from audio_triplet.web.excerpts import Excerpt
from tests.web.page_checks import tone, write_wav


def pixels(uri):
    assert uri.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("L"))


@pytest.mark.parametrize("hertz", [250, 1000, 4000])
def test_picture_shows_a_tone_at_its_pitch_and_silence_after_its_end(tmp_path, hertz):
    path = write_wav(tmp_path / "tone.wav", tone(hertz, 1.0))
    clips = Clips()
    clips.add([Excerpt(path)])
    image = pixels(pictures.picture_uri(clips[Excerpt(path)].log_mel, span_seconds=2.0))
    assert image.shape == (64, 100)  # 20 ms a pixel
    brightest = np.argmax(image[:, :45].mean(axis=1))
    mel = 1127 * np.log(1 + np.array([125, hertz, 7500]) / 700)
    expected = 63 - (mel[1] - mel[0]) / (mel[2] - mel[0]) * 64
    assert abs(brightest - expected) <= 1.5
    assert image[:, 55:].max() == image.min() < 5


def test_a_sound_shorter_than_a_window_has_a_picture(tmp_path):
    path = write_wav(tmp_path / "click.wav", [0.5] * 20)
    clips = Clips()
    clips.add([Excerpt(path)])
    assert pixels(pictures.picture_uri(clips[Excerpt(path)].log_mel, 0.1)).shape == (64, 5)
    guide = clips.picture_guide(Excerpt(path), "click")
    assert "<figure" in templating.macro("parts.html", "picture_guide", guide)
