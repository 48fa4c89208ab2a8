"""Label Studio's JSON of audio: tasks with regions, or its short form JSON_MIN."""

import json
import os
import re
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

from audio_triplet.annotations.moments import Moment, named_sound
from audio_triplet.errors import ManifestError

TITLE = "Label Studio JSON"

# What an upload puts before a file's name.
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
_KINDS = ("labels", "hypertextlabels", "timeserieslabels", "choices", "taxonomy")


def recognises(text: str) -> bool:
    """Whether a text begins as one."""
    return re.match(r"\s*[\[{]\s*[{\"\]]", text) is not None


def read(path: str, text: str) -> list[Moment]:
    """The regions of all annotations that were not cancelled; choices are of the whole file.

    Raises:
      ManifestError: It is something else.
    """
    try:
        tasks = json.loads(text)
    except ValueError as error:
        raise ManifestError(f"{path}: not well-formed JSON ({error}); export it again") from None
    found: dict[str, Moment] = {}  # by its text: NaN is not equal to itself
    for number, task in enumerate(tasks if isinstance(tasks, list) else [tasks]):
        try:
            sound = _sound(path, task)
            moments = [_moment(sound, value, label) for value, label in _labelled(task)]
        except (LookupError, TypeError, ValueError, AttributeError):
            raise ManifestError(
                f"{path}: task {number + 1} is none of Label Studio's for audio; export it as JSON"
            ) from None
        found |= {repr(moment): moment for moment in moments or [_moment(sound, {}, "")]}
    return list(found.values())


def _sound(path: str, task: dict) -> str:
    """The sound of a task: where it is stored, or as it was called when it was uploaded."""
    data = task.get("data", task)
    known = [data[key] for key in ("audio", "sound", "wav", "url", "file") if key in data]
    texts = [value for value in known or data.values() if isinstance(value, str)]
    address = texts[0]
    query = urllib.parse.urlsplit(address).query
    local = urllib.parse.parse_qs(query).get("d", [""])[0]
    stored = urllib.parse.unquote(urllib.parse.urlsplit(address).path) if query else address
    unquoted = urllib.parse.unquote(stored)
    name = os.path.basename(local or unquoted)
    uploaded = str(task.get("file_upload") or "")
    own = [_UPLOAD.sub("", other) for other in (name, uploaded)]
    paths = [local, unquoted if not _is_served(unquoted) else "", name, uploaded, *own]
    for candidate in paths:
        if candidate and os.path.isfile(named_sound(path, [candidate])):
            return named_sound(path, [candidate])
    return named_sound(path, [local or own[0]])


def _is_served(address: str) -> bool:
    return re.match(r"https?://|/data/", address) is not None


def _labelled(task: dict) -> Iterator[tuple[dict[str, Any], str]]:
    """(region, label) of a task."""
    if "data" not in task:  # JSON_MIN: region lists, or names, under the names of the controls
        for key, value in task.items():
            if isinstance(value, list) and all(isinstance(part, dict) for part in value):
                for region in value:
                    for kind in _KINDS:
                        yield from ((region, label) for label in region.get(kind, ()))
            elif key in ("label", "labels", "choice", "choices", "class", "category"):
                names = value.get("choices", []) if isinstance(value, dict) else value
                for label in [names] if isinstance(names, str) else names:
                    yield {}, label
        return
    for annotation in task.get("annotations", task.get("completions", [])):
        if annotation.get("was_cancelled"):
            continue
        for result in annotation["result"]:
            value = result["value"]
            for label in value.get(result["type"], ()) if result["type"] in _KINDS else ():
                told = {"score": result.get("score")} | (result.get("meta") or {}) | value
                yield told, label[-1] if isinstance(label, list) else label


def _moment(sound: str, value: dict[str, Any], label: str) -> Moment:
    def number(name: str) -> float:
        given = value.get(name)
        return float(given) if isinstance(given, (int, float)) else float("nan")

    start = number("start")
    return Moment(
        sound,
        0.0 if start != start else start,
        number("end"),
        str(label),
        number("low_hz"),
        number("high_hz"),
        number("score"),
    )


def text_of(moments: Sequence[Moment], sounds: dict[str, tuple[float, float]]) -> str:
    """The moments as tasks for a project with `<Labels name="label" toName="audio">`.

    Args:
      moments: Of one sound or several.
      sounds: Seconds (NaN: not known) and sample rate of each.
    """
    results: dict[str, list[dict[str, Any]]] = {}
    for number, moment in enumerate(moments, 1):
        known = {"low_hz": moment.low_hz, "high_hz": moment.high_hz}
        result: dict[str, Any] = {
            "id": f"m{number}",
            "from_name": "label",
            "to_name": "audio",
            "type": "labels",
            "value": {
                "start": float(moment.start_seconds),
                "end": float(moment.end_seconds),
                "channel": 0,
                "labels": [moment.label],
            },
            "meta": {name: float(value) for name, value in known.items() if value == value},
        }
        seconds = sounds[moment.path][0]
        if seconds == seconds:
            result["original_length"] = seconds
        if moment.score == moment.score:
            result["score"] = float(moment.score)
        results.setdefault(moment.path, []).append(result)
    tasks = [
        {"data": {"audio": path}, "annotations": [{"result": result}]}
        for path, result in results.items()
    ]
    return json.dumps(tasks, indent=1, ensure_ascii=False) + "\n"
