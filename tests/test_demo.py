"""The demo of the documentation: which sounds, and where it stands."""

import pandas as pd
import pytest

from docs import demo, demo_hook


def _row(path, label, licence="CC0", kind="effect", recording=None):
    return {
        "path": path,
        "recording_id": recording or path,
        "labels": label,
        "licence": licence,
        "kind": kind,
        "package": "p",
    }


def test_free_labelled_effects_are_chosen_one_of_each_recording_first():
    rows = [
        _row("a1", "dog", recording="a"),
        _row("a2", "dog", recording="a"),
        _row("b", "dog", "CC-BY-SA-3.0"),
        _row("c", "dog", "GPL-2+"),
        _row("d", "dog", "see copyright"),
        _row("e", None),
        _row("f", "cat", kind="music"),
        _row("g", "rain", "MIT"),
    ]
    table = pd.DataFrame(rows)
    assert sorted(demo.chosen(table)["path"]) == ["a1", "a2", "b", "g"]
    assert sorted(demo.chosen(table, most_each=2)["path"]) == ["a1", "b", "g"]


def test_of_many_they_are_spread():
    table = pd.DataFrame([_row(f"{number:03d}", "dog") for number in range(100)])
    found = demo.chosen(table, most_each=10)["path"].tolist()
    assert found == [f"{number:03d}" for number in range(0, 100, 10)]


@pytest.mark.parametrize("built", [False, True])
def test_the_front_page_has_it_or_says_how(built, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_hook, "_BUILT", str(tmp_path / "demo"))
    if built:
        (tmp_path / "demo" / "runtime").mkdir(parents=True)
        (tmp_path / "demo" / "index.html").write_text("it")
        (tmp_path / "demo" / "README.txt").write_text("Sounds\n\nAn archive of 1,234 recordings …")
        for name in ("encoder.tflite", "vectors.i8", "words.f32"):
            (tmp_path / "demo" / name).write_bytes(bytes(2_000_000))
        (tmp_path / "demo" / "runtime" / "litert_wasm_internal.wasm.gz").write_bytes(b"")
    page = demo_hook.on_page_markdown(f"a\n{demo_hook.MARK}\nb", None, {}, None)
    if built:
        assert 'src="demo/index.html"' in page and "1,234 free sounds" in page
        assert "6 MB are loaded" in page
        demo_hook.on_post_build({"site_dir": str(tmp_path / "site")})
        assert (tmp_path / "site" / "demo" / "index.html").read_text() == "it"
    else:
        assert "make docs DEBIAN_SOUNDS" in page and "iframe" not in page
    assert demo_hook.on_page_markdown("no mark", None, {}, None) == "no mark"
