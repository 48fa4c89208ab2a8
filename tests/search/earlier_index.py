"""Writes indices as version 0.1.0 wrote them."""

import json
import os

import numpy as np

from audio_triplet.data.keys import key_of

_COLUMNS = ("first", "count", "offset", "key", "file", "recording", "size", "mtime_ns")
_SEGMENT = np.dtype([(name, "<i8") for name in _COLUMNS])


def write(folder, *sets, dropped=(), clock_times=None):
    """An index of sets of embeddings, a part each.

    Args:
      folder: Its folder.
      sets: Sets whose vectors stand in the order of their segments.
      dropped: Numbers of segments of the first set that no longer count.
      clock_times: Path → ISO time; None: the version before there were any.
    """
    parts = []
    for number, one in enumerate(sets):
        name = f"part-{number:012x}"
        path = os.path.join(folder, name)
        os.makedirs(path)
        frame = one.manifest.frame
        rows, lines = np.zeros(len(frame), _SEGMENT), []
        rows["count"] = np.bincount(one.segment_index, minlength=len(frame))
        rows["first"] = np.cumsum(rows["count"]) - rows["count"]
        rows["size"], rows["mtime_ns"] = one.stamp.T
        for row, segment in zip(rows, frame.itertuples(), strict=True):
            row["key"] = key_of(
                segment.path, float(segment.start_seconds), float(segment.end_seconds)
            )
            row["file"], row["recording"] = key_of(segment.path), key_of(segment.recording_id)
            row["offset"] = sum(map(len, lines))
            names = {name: getattr(segment, name) for name in ("path", "recording_id", "labels")}
            if clock_times and segment.path in clock_times:
                names["recorded_at"] = clock_times[segment.path]
            lines.append(json.dumps(names).encode() + b"\n")
        spans = np.zeros(len(one), [("start", "<f8"), ("end", "<f8")])
        spans["start"], spans["end"] = one.start_seconds, one.end_seconds
        for file, content in (("vectors", one.vectors), ("spans", spans), ("segments", rows)):
            np.save(os.path.join(path, f"{file}.npy"), content)
        with open(os.path.join(path, "names.jsonl"), "wb") as file:
            file.writelines(lines)
        part = {"name": name, "vectors": len(one), "segments": len(frame)}
        parts.append(part | {"dropped": list(dropped) if number == 0 else []})
    content = {
        **{"model": "/models/a", "model_digest": "a" * 64, "dim": sets[0].vectors.shape[1]},
        **{"level": "patch", "hop_seconds": 0.96, "dtype": "float32"},
        **{"parts": parts, "faiss": None, "version": 1},
    }
    with open(os.path.join(folder, "index.json"), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
