"""By what the page embeds: the choice in Node, WebGPU in a browser that has one in software."""

import pytest
import soundfile

from audio_triplet.publish import site
from audio_triplet.search.sound_index import SoundIndex
from tests import chromium
from tests.conftest import RATE, tone
from tests.publish import node, visiting

# Ways that take so many ms, and give a vector near the plain one's; the first run takes longer.
_CHOICE = """
let time = 0;
const way = (first, each, x) => {
  let runs = 0;
  return async () => {
    time += runs++ ? each : first;
    return Float32Array.of(Math.sqrt(1 - x * x), x);
  };
};
const flaws = [null, "is slower", "gives something else"], found = [];
for (const [first, each, x] of given) {
  const flaw = await it.against(way(first, each, x), way(20, 10, 0), null, () => time);
  found.push(flaws.indexOf(flaw), time);
  time = 0;
}
return found;"""


def test_webgpu_is_taken_if_it_is_the_same_and_faster(tmp_path):
    ways = [(500, 9, 0.0), (1, 11, 0.0), (1, 100, 0.0), (1, 1, 0.01), (1, 1, 0.001)]
    found = node.run(tmp_path, "encoder.js", _CHOICE, ways)
    # What it took: 20 ms of warming up, three turns; one where there is no hope.
    expected = [0, 20 + 500 + 3 * 19, 1, 20 + 1 + 3 * 21, 1, 20 + 1 + 110, 2, 21, 0, 21 + 3 * 11]
    assert found.tolist() == expected


@pytest.mark.slow
def test_a_browsers_webgpu_takes_the_encoder(indexed, small_model, sounds, tmp_path):
    """By software it is slower; that it gives the same is found out before."""
    visiting.need_runtime()
    folder = tmp_path / "site"
    site.write(site.SiteConfig(indexed, str(folder), audio="none", map=False))
    soundfile.write(tmp_path / "query.wav", tone(2.0, 320, 3), RATE)
    flags = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
    with chromium.launched(*flags) as running, visiting.served(tmp_path) as host:
        visit = visiting.Visit(running, host, "site/")
        if not visit.page.evaluate("navigator.gpu?.requestAdapter().then(Boolean)"):
            pytest.skip("this Chromium has no WebGPU by software")
        visit.has("#served", "WebGPU")
        served = visit.page.text_content("#served")
        assert "fails" not in served and "else" not in served
        visit.page.set_input_files("#file", str(tmp_path / "query.wav"))
        best = SoundIndex(indexed, small_model).find(str(tmp_path / "query.wav"), 1, diffuse=False)[
            0
        ]
        assert visiting.hits(visit.page)[0][0] == str(best.path).removeprefix(f"{sounds}/")
        visit.close()
