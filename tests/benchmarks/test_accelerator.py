"""What measures a step on an accelerator, tried on jax's CPU."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from benchmarks import accelerator, accelerator_folders
from benchmarks.accelerator_folders import Kind
from tests.training.runs import QUICK_TO_COMPILE

pytest.importorskip("jax", reason="jax is not installed (extra pjrt)")


@pytest.mark.slow
def test_a_folder_is_made_copied_and_measured(prepared, tmp_path):
    made, there = tmp_path / "folder", tmp_path / "there"
    equal, kind = Kind("vggish", 0.0625, 8), Kind("vggish", 0.0625, 4, steps_per_call=3)
    accelerator_folders.make(prepared, str(made), [kind], equal)
    parts = accelerator_folders.write_parts(str(made), str(tmp_path / "parts"), 1)
    assert all(os.path.getsize(part) <= 10**6 for part in parts)
    there.mkdir()
    joined = b"".join(pathlib.Path(part).read_bytes() for part in parts)
    subprocess.run(["tar", "x"], input=joined, cwd=there, check=True)
    script = str(there / "folder" / "accelerator.py")
    command = [sys.executable, "-I", script, "--platform=cpu", "--each=0.2"]
    quick = os.environ | {"XLA_FLAGS": QUICK_TO_COMPILE}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=there, env=quick
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((there / "folder" / "results" / "accelerator.json").read_text())
    assert result["losses"] == 20 and result["losses_differ_by"] < 1e-4
    (row,) = result["rows"]
    assert "failed" not in row
    assert 0 < row["host_share"] <= 1
    assert row["seconds_per_step"] > 0 and row["flops_per_patch"] > 1e6
    assert "| vggish, width 0.0625, batch 4 | 3 |" in done.stdout


def test_the_table_says_what_was_measured():
    row = {"architecture": "vggish", "width": 1, "batch_size": 100, "flops_per_patch": 5e9}
    row |= {"host_share": 0.5, "temp_bytes": 2e9}
    rows = [
        row | {"steps_per_call": 1, "seconds_per_step": 0.02},
        row | {"steps_per_call": 20, "seconds_per_step": 0.016},
        row | {"steps_per_call": 1, "failed": "no memory"},
    ]
    result = {"device": "a card", "jax": "1", "losses": 20, "losses_differ_by": 1e-6}
    page = accelerator.markdown(result | {"matrix_product_gigaflops": 1e5, "rows": rows})
    # 200 patches in 0.02 s are 10,000 a second; times 5 GFLOP 50 of 100 TFLOP/s.
    assert "| vggish, width 1, batch 100 | 1 | 10,000 | 50.0% | 50.0% | 2.00 GB |  |" in page
    assert "| 20 | 12,500 | 62.5% | 50.0% | 2.00 GB | 20.0% |" in page
    assert "| 1 | no memory |" in page
