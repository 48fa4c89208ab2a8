"""The command: runs the parts, keeps their trials, and writes the results."""

import collections
import dataclasses
import json
import os
import time

from absl import flags

from audio_triplet import storage
from audio_triplet.commands import terminal
from audio_triplet.errors import UsageError
from benchmarks.faults.bench import Bench, Part, Trial
from benchmarks.faults.parts import PARTS, corrupt_corpus


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("output_dir", None, "Folder for faults.json and faults.md.", required=True)
    flags.DEFINE_string("work_dir", "/tmp/audio_triplet_faults", "Folder for the trials.")
    flags.DEFINE_list("only", [], f"Parts to run: {', '.join(part.name for part in PARTS)}.")
    flags.DEFINE_integer("trials", None, "Number of trials of each part, instead of its default.")
    flags.DEFINE_string("corpus", None, "Folder with recordings to damage, as well.")
    flags.DEFINE_list("corpora", [], "Corpora whose every file is read by pieces: esc50:DIR,…")


def main(argv):
    """Runs the parts."""
    del argv
    terminal.set_up_logging()
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    values = flags.FLAGS
    with terminal.clear_errors("faults"):
        unknown = set(values.only) - {part.name for part in PARTS}
        if unknown:
            raise UsageError(f"--only: {', '.join(sorted(unknown))} unknown")
        bench = Bench(values.work_dir, _recordings(values.corpus), values.corpora)
        try:
            for part in PARTS:
                if not values.only or part.name in values.only:
                    _run_part(bench, part, values.trials)
                    write(bench, values.output_dir)
        finally:
            bench.close()
        write(bench, values.output_dir)


def _recordings(folder: str | None) -> list[str]:
    """At most 20 sound files of a folder, spread over it."""
    from audio_triplet.audio import is_audio

    if folder is None:
        return []
    found = sorted(
        os.path.join(current, name)
        for current, _, names in os.walk(folder)
        for name in names
        if is_audio(name)
    )
    return found[:: max(1, len(found) // 20)][:20]


def _trials(bench: Bench, name: str) -> list[Trial]:
    """The trials of a part so far."""
    path = bench.path("trials", f"{name}.jsonl")
    if not os.path.exists(path):
        return []
    lines = map(json.loads, storage.read_text(path).splitlines())
    # Trials of earlier versions name the outcome `told`.
    return [
        Trial(**{"outcome" if k == "told" else k: v for k, v in line.items()}) for line in lines
    ]


def _run_part(bench: Bench, part: Part, trials: int | None) -> None:
    from audio_triplet.provenance import commit

    done = sum(trial.count for trial in _trials(bench, part.name))
    scale = 50 if part.run is corrupt_corpus else 1
    wanted = (trials or part.trials) * scale
    if done >= wanted:
        return
    begin, now = time.monotonic(), commit()
    with open(bench.path("trials", f"{part.name}.jsonl"), "a", encoding="utf-8") as file:
        for trial in part.run(bench, done // scale, (wanted - done) // scale):
            file.write(json.dumps(dataclasses.asdict(trial) | {"commit": now}) + "\n")
            file.flush()
            done += trial.count
            for problem in trial.problems:
                print(f"{part.name}: {problem}", flush=True)
            if time.monotonic() - begin > 60:
                begin = time.monotonic()
                print(f"{part.name}: {done} of {wanted}", flush=True)


def _earlier_rows(folder: str) -> dict[str, dict]:
    """Part → its row in the folder's faults.json; empty if there is none."""
    path = os.path.join(folder, "faults.json")
    if not os.path.exists(path):
        return {}
    return {row["name"]: row for row in storage.read_json(path)["parts"]}


def write(bench: Bench, folder: str) -> None:
    """Writes faults.json and faults.md; parts without trials in --work_dir keep their rows."""
    from audio_triplet.provenance import provenance

    origin, rows = provenance(), []
    earlier = _earlier_rows(folder)
    for part in PARTS:
        trials = _trials(bench, part.name)
        if not trials and part.name in earlier:
            rows.append(earlier[part.name])
            continue
        problems = [problem for trial in trials for problem in trial.problems]
        rows.append(
            {
                "name": part.name,
                "promise": part.promise,
                "test": part.quick,
                "trials": sum(trial.count for trial in trials),
                "failures": sum(bool(trial.problems) for trial in trials),
                "outcomes": collections.Counter(trial.outcome for trial in trials if trial.outcome),
                "problems": [problem.replace(bench.folder, "…") for problem in problems[:20]],
                "commits": sorted({trial.commit or "not noted" for trial in trials}),
                "command": f"python -m benchmarks.faults --output_dir=results --only={part.name}",
            }
        )
    lines = [
        "# Faults: what was tried, and what did not hold",
        "",
        "| part | promise | quick test | trials | failures | commit |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{row['name']}` | {row['promise']} | {row['test']} | "
        f"{row['trials'] or 'not run'} | {row['failures'] if row['trials'] else '–'} | "
        f"{', '.join(row['commits'])} |"
        for row in rows
    ]
    lines += [
        "",
        "A part is repeated by `python -m benchmarks.faults --output_dir=results "
        "--only=PART` (pieces: with `--corpora=esc50:DIR,…`); more `--trials=N` try more.",
        "",
    ]
    for row in rows:
        if row["outcomes"]:
            counts = ", ".join(f"{n} × {what}" for what, n in sorted(row["outcomes"].items()))
            lines.append(f"- `{row['name']}`: {counts}.")
        lines += [f"  - failed: {problem}" for problem in row["problems"]]
    versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
    lines += [
        "",
        f"Written at commit {origin['commit']}, {origin['date']}, on {origin['machine']}; "
        f"{versions}.",
        "",
    ]
    os.makedirs(folder, exist_ok=True)
    storage.write_json(os.path.join(folder, "faults.json"), {"parts": rows, "config": origin})
    storage.write_text(os.path.join(folder, "faults.md"), "\n".join(lines))
