"""The speed of preparing clips, on one core and on two."""

import os
import shutil
import statistics
import time
from concurrent import futures

from benchmarks import harness
from benchmarks.scaling.clips import digests, make_clips, prepare_command
from benchmarks.scaling.settings import AUDIOSET_CLIPS, CLIP_RATE, CLIP_SECONDS, Settings
from benchmarks.scaling.watched import run_watched

GOAL_EFFICIENCY = 0.85


def measure_one_core(settings: Settings, clips: str, output: str) -> harness.Table:
    """Prepares a few clips in one thread of one process, and counts the processor's time.

    A pair of independent processes, each on a core of its own, does the same in turns: the best
    that two cores of this machine can do.
    """
    count = settings.few_clips
    table = harness.Table(
        "Preparing, one core",
        f"{count} clips of {CLIP_SECONDS} s, {CLIP_RATE} Hz FLAC; processor "
        "time of one process with one thread, start-up excluded; medians of "
        f"{harness.repeats()} runs",
    )
    allowed = sorted(os.sched_getaffinity(0))

    def work(core: int) -> dict[str, float]:
        os.sched_setaffinity(0, {core})  # of this thread, and of the process that it starts
        folder = f"{output}-{core}"
        shutil.rmtree(folder, ignore_errors=True)
        found, memory = harness.in_child(
            "benchmarks.scaling.preparing:prepare_few", cores=1, clips=clips, output=folder
        )
        return found | {"memory": memory}

    alone, paired = [], []
    with futures.ThreadPoolExecutor(2) as executor:
        for _ in range(harness.repeats()):
            alone.append(executor.submit(work, allowed[0]).result())
            paired.extend(executor.map(work, allowed[:2]))
    middle, pair = (
        {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for runs in (alone, paired)
    )
    table.add("a clip", middle["a clip"] * 1000, "processor ms")
    table.add("a clip", 1 / middle["a clip"], "clips/s")
    table.add(
        "a clip, while another such process does the same",
        pair["a clip"] * 1000,
        "processor ms",
        note=f"two cores can do {100 * middle['a clip'] / pair['a clip']:.0f} % of twice one core",
    )
    table.add("reading headers and laying out, a clip", middle["layout"] * 1000, "processor ms")
    table.add("start-up of a process", middle["start-up"], "processor s")
    table.add(
        "peak memory of the process", middle["memory"], "GB", note="TensorFlow's 0.5 GB included"
    )
    for workers in (1, 100):
        table.add(
            f"2 M clips on {workers} cores",
            AUDIOSET_CLIPS * middle["a clip"] / workers / 3600,
            "hours",
            note="from the figure above, perfect scaling" if workers > 1 else "",
        )
    return table


def prepare_few(clips: str, output: str) -> dict[str, float]:
    """Processor seconds of preparing; for a process of its own."""
    from audio_triplet.config import PrepareConfig
    from audio_triplet.corpora import registry
    from data_prep import preparation
    from data_prep.engine import Engine
    from data_prep.write_shards import write_shard

    began = {}

    class OneThread(Engine):
        def write_shards(self, folder, todo, resampler, advance):
            began["layout"] = time.process_time()
            for number, name in enumerate(todo):
                write_shard(folder, name, resampler)
                if number == 0:  # in which TensorFlow is imported and starts its threads
                    began["first"] = time.process_time(), sum(list(todo.values())[1:])
                yield name

    config = PrepareConfig(num_shards=4)
    start = time.process_time()
    manifest = registry.load_corpus(f"folders:{clips}")
    preparation.prepare(manifest, output, config, progress=False, engine=OneThread())
    first, pieces = began["first"]
    return {
        "start-up": start,
        "layout": (began["layout"] - start) / len(manifest),
        "a clip": (time.process_time() - first) / pieces,
    }


def measure(settings: Settings, few: str, folder: str) -> harness.Table:
    """Prepares the clips on one core and on two, in turns."""
    count, repeats = settings.clips, harness.repeats()
    clips = make_clips(os.path.join(folder, "clips"), count, settings.seed)
    table = harness.Table(
        "Preparing",
        f"{count} clips of {CLIP_SECONDS} s, {CLIP_RATE} Hz FLAC, by `python -m "
        "data_prep.prepare`, one Beam pipeline with as many worker processes as cores; start-up of "
        f"the pipeline and of the workers included, but where it says otherwise: there the seconds "
        f"that {settings.few_clips} clips take are taken off. Medians of {repeats} runs in "
        "turns. "
        "Processor time is that of all processes together: on a machine that is busy otherwise it "
        "says more than the clock.",
    )
    runs = {1: [], 2: []}
    found = {}
    for number in range(repeats):
        for cores in (1, 2):
            output = os.path.join(folder, f"prepared-{cores}")
            shutil.rmtree(output, ignore_errors=True)
            arguments = prepare_command(clips, output, f"--direct_num_workers={cores}")
            runs[cores].append(run_watched(arguments, cores))
            found[cores] = digests(output)
            shutil.rmtree(output)
            arguments = prepare_command(few, output, f"--direct_num_workers={cores}")
            runs[cores][-1]["start-up"] = run_watched(arguments, cores)["seconds"]
            harness.progress(f"run {number + 1} on {cores} cores: {runs[cores][-1]}")
    middle = {
        cores: {key: statistics.median(run[key] for run in some) for key in some[0]}
        for cores, some in runs.items()
    }
    rates = {}
    for cores, run in middle.items():
        table.add(
            f"{cores} cores",
            count / run["seconds"],
            "clips/s",
            more={
                "processor s a clip": run["processor"] / count,
                "processors used": run["processor"] / run["seconds"],
                "GB, after a third": run["third"],
                "GB, most": run["most"],
            },
        )
        net = (count - settings.few_clips) / (run["seconds"] - run["start-up"])
        table.add(
            f"{cores} cores, without start-up",
            net,
            "clips/s",
            more={f"s for {settings.few_clips} clips": run["start-up"]},
        )
        rates[cores] = count / run["seconds"], net
    for name, of in (("", 0), (", without start-up", 1)):
        table.goal(
            f"two cores, of twice one core{name}", rates[2][of] / rates[1][of] / 2, GOAL_EFFICIENCY
        )
    table.goal(
        "processor time a clip on one worker, of that on two",
        middle[1]["processor"] / middle[2]["processor"],
        GOAL_EFFICIENCY,
    )
    table.goal(
        "memory at most, of that after a third",
        middle[2]["most"] / middle[2]["third"],
        1.25,
        at_most=True,
    )
    table.goal("the same bytes on one core and two (1: yes)", float(found[1] == found[2]), 1)
    rate = count / middle[1]["seconds"]
    for workers in (1, 100):
        hours = AUDIOSET_CLIPS / (rate * workers) / 3600
        table.add(
            f"2 M clips on {workers} workers",
            hours,
            "hours",
            note="from the one-core rate above" + (", perfect scaling" if workers > 1 else ""),
        )
    return table
