"""Runs modules of a published page in Node, on arrays."""

import importlib.resources
import json
import pathlib
import shutil
import subprocess

import numpy as np
import pytest

STATIC = pathlib.Path(str(importlib.resources.files("audio_triplet.web"))) / "static"


def run(folder, module: str, code: str, given=None, **arrays):
    """The float32 that a piece of JavaScript returns.

    Args:
      folder: A temporary one.
      module: File of `static/publish`; the code knows it as `it`.
      code: The body of a function; `given` and arrays by name are known.
      given: JSON.
      **arrays: float32 each.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    names = []
    for name, array in arrays.items():
        np.asarray(array, "<f4").tofile(folder / f"{name}.f32")
        names.append(
            f"const {name} = new Float32Array("
            f"new Uint8Array(fs.readFileSync('{name}.f32')).buffer);"
        )
    for name in ("publish", "shared"):  # modules import one another
        shutil.copytree(STATIC / name, folder / name, dirs_exist_ok=True)
    (folder / "package.json").write_text('{"type": "module"}')
    script = f"""import fs from "node:fs";
import * as it from "./publish/{module}";
const given = {json.dumps(given)};
{" ".join(names)}
const found = await (async () => {{ {code} }})();
fs.writeFileSync("found.f32", new Uint8Array(Float32Array.from(found).buffer));
"""
    (folder / "main.mjs").write_text(script)
    done = subprocess.run(
        [node, "main.mjs"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return np.fromfile(folder / "found.f32", "<f4")
