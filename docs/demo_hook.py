"""Puts the demo of `demo.py` on the front page, where it was built; else a line that says how."""

import os
import shutil

MARK = "<!-- demo -->"
_BUILT = os.path.join("build", "demo")

_FRAME = """
<details class="demo">
<summary><b>Try it: drop a sound, hear its neighbours.</b> {files} free sounds search themselves
in your browser; {megabytes:.0f} MB are loaded when this is opened, and what you drop stays with
you.</summary>
<p><a href="demo/index.html">Open it alone</a></p>
<iframe src="demo/index.html" title="A published archive that searches itself" loading="lazy"
 allow="microphone" style="width: 100%; height: 48rem; border: 1px solid #8888"></iframe>
</details>
"""

_LINE = """
*A demo that searches free sounds in your browser stands here where the documentation is built with
`make docs DEBIAN_SOUNDS=FOLDER` (a folder of the corpus [debian-sounds](corpora.md)).*
"""


def _loaded_megabytes(folder):
    """What a browser loads before it can search."""
    names = ["encoder.tflite", "runtime/litert_wasm_internal.wasm.gz", "vectors.i8", "words.f32"]
    return sum(os.path.getsize(os.path.join(folder, name)) for name in names) / 1e6


def on_page_markdown(markdown, page, config, files):
    """Puts it where the mark is."""
    if MARK not in markdown:
        return markdown
    if not os.path.exists(os.path.join(_BUILT, "index.html")):
        return markdown.replace(MARK, _LINE)
    with open(os.path.join(_BUILT, "README.txt"), encoding="utf-8") as file:
        count = file.read().split("An archive of ")[1].split()[0]
    return markdown.replace(MARK, _FRAME.format(files=count, megabytes=_loaded_megabytes(_BUILT)))


def on_post_build(config):
    """Copies it into the site."""
    if os.path.exists(os.path.join(_BUILT, "index.html")):
        shutil.copytree(_BUILT, os.path.join(config["site_dir"], "demo"), dirs_exist_ok=True)
