"""Reading and laying out a manifest of AudioSet's size."""

import os
import tempfile
import time

from benchmarks import harness
from benchmarks.scaling.settings import CLIP_RATE, CLIP_SECONDS, Settings


def measure(settings: Settings) -> harness.Table:
    """Reads and lays out a manifest of two million rows."""
    rows = settings.rows
    table = harness.Table(
        "A large manifest",
        f"{rows} rows of 10 s, 527 classes, two labels each; headers are not "
        "read (that takes as long as the disk needs), all else is what preparing does before the "
        "first shard",
    )
    taken, memory = harness.in_child("benchmarks.scaling.large_manifest:lay_out_rows", rows=rows)
    for name, seconds in taken.items():
        table.add(name, seconds, "processor s")
    table.add("peak memory", memory, "GB")
    return table


def lay_out_rows(rows: int) -> dict[str, float]:
    """Processor seconds of each stage; for a process of its own."""
    from unittest import mock

    from audio_triplet.audio import AudioInfo
    from audio_triplet.audio import reading as reading_module
    from audio_triplet.config import PrepareConfig
    from audio_triplet.data import manifest, prepared
    from data_prep.layout import lay_out, read_layout

    taken, begin = {}, time.process_time()

    def note(name):
        nonlocal begin
        taken[name] = time.process_time() - begin
        begin = time.process_time()

    info = AudioInfo(CLIP_RATE, 1, CLIP_SECONDS * CLIP_RATE, float(CLIP_SECONDS))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "manifest.csv")
        with open(path, "w", encoding="utf-8") as file:
            file.write("path,recording_id,labels,split\n")
            for row in range(rows):
                labels = f"class {row % 527};class {row * 7919 % 521}"
                split = "test" if row % 100 == 0 else "train"
                name = f"audio/{row % 1000:03d}/Y{row:011d}_30.flac"
                file.write(f"{name},{row:011d},{labels},{split}\n")
        note("writing the table for this measurement")
        found = manifest.Manifest.read(path)
        note("reading and checking it")
        config = PrepareConfig()
        digest = prepared.fingerprint(found, config)
        note("fingerprint (one look at each file)")
        output = os.path.join(folder, "out")
        with mock.patch.object(reading_module, "probe", lambda path: info):
            layout = lay_out(found, output, config, digest)
        note("layout of all shards")
        names = [name for split in layout["splits"].values() for name in split["shards"]]
        assert sum(split["pieces"] for split in layout["splits"].values()) == rows
        read_layout(output, digest)
        note(f"reading the layout again ({len(names)} shards)")
    return taken
