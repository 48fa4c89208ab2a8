"""MP3 files with another gain, by the page's module in Node, decoded by libsndfile."""

import numpy as np
import pytest
import soundfile

from tests.conftest import tone
from tests.publish import node

_AMPLIFIED = """
const found = it.amplified(new Uint8Array(fs.readFileSync("sound.mp3")), given);
fs.writeFileSync("amplified.mp3", found);
return [it.rateOf(found)];"""


def _amplified(folder, content, times):
    (folder / "sound.mp3").write_bytes(content)
    (rate,) = node.run(folder, "mp3.js", _AMPLIFIED, times)
    return rate, (folder / "amplified.mp3").read_bytes()


@pytest.mark.parametrize(  # MPEG-1, MPEG-2 and MPEG-2.5
    ("rate", "channels"), [(44_100, 2), (48_000, 1), (22_050, 2), (16_000, 1), (11_025, 2)]
)
@pytest.mark.parametrize("times", [0.25, 64])
def test_a_file_with_another_gain_is_the_sound_times_it(tmp_path, rate, channels, times):
    sound = np.stack([tone(0.7, 700, 1, rate), 0.3 * tone(0.7, 250, 2, rate)], axis=1)
    path = tmp_path / "written.mp3"
    soundfile.write(path, 4.0 * sound[:, :channels], rate)
    content = path.read_bytes()
    tag = b"ID3\x04\0\0\0\0\0\x05\xff\xfb\x90\0\0"  # its content looks like a frame
    found_rate, _ = _amplified(tmp_path, tag + content + b"TAG" + bytes(125), times)
    assert found_rate == rate
    expected, _ = soundfile.read(path, dtype="float32")
    assert np.abs(expected).max() > 1
    found, _ = soundfile.read(tmp_path / "amplified.mp3", dtype="float32")
    np.testing.assert_allclose(found / times, expected, atol=1e-5)


def _crc(data):
    """What is left of the bits when they are divided by x^16 + x^15 + x^2 + 1, begun with ones."""
    bits = (int.from_bytes(data, "big") ^ 0xFFFF << (8 * len(data) - 16)) << 16
    for at in range(8 * len(data) + 15, 15, -1):
        if bits >> at & 1:
            bits ^= 0x18005 << (at - 16)
    return bits


def test_frames_that_are_checked_stay_so(tmp_path):
    """Two frames of 417 bytes, stereo, with CRC; a gain below the step becomes 0."""
    information = bytearray(np.random.default_rng(0).integers(0, 256, 32, np.uint8).tobytes())
    gains = [20 + 59 * n + 21 for n in range(4)]  # bits
    whole = int.from_bytes(information, "big")
    for place, gain in zip(gains, (200, 5, 255, 8), strict=True):
        whole = whole & ~(255 << (248 - place)) | gain << (248 - place)
    frame = b"\xff\xfa\x90\x00??" + whole.to_bytes(32, "big")
    frame += bytes(417 - len(frame))
    _, found = _amplified(tmp_path, 2 * frame, 0.25)
    assert found[417:] == found[:417] and found[38:417] == frame[38:]
    changed = int.from_bytes(found[6:38], "big")
    assert [changed >> (248 - place) & 255 for place in gains] == [192, 0, 247, 0]
    others = (1 << 256) - 1 - sum(255 << (248 - place) for place in gains)
    assert changed & others == whole & others
    assert int.from_bytes(found[4:6], "big") == _crc(found[2:4] + found[6:38])


def test_what_is_no_frame_stays(tmp_path):
    """Free format has no length, and one frame's header alone may be anything."""
    content = b"\xff\xfb\x00\x00" * 60 + b"\xff\xfb\x90\x00" + bytes(600) + b"\xff"
    assert _amplified(tmp_path, content, 0.25)[1] == content
    assert _amplified(tmp_path, b"", 0.25)[1] == b""
