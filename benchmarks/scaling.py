"""Preparing, feeding and training at scale: what two million clips would take.

    python -m benchmarks.scaling --corpus=esc50:DIR --output_dir=results

Ten-second clips at 44.1 kHz in FLAC are cut from the recordings of --corpus, one after the other
with their order drawn. Measured are: preparing them by the command on one core and on two (clips/s
by the clock and by the processors' own time, memory, the same bytes); the same set prepared under
random kill -9; the bytes of the shards; losses on 1, 2 and 4 replicas and on two processes over
loopback; the share of a training step's time that reading takes; a manifest of two million rows.
"""

import functools
import hashlib
import json
import math
import os
import random
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent import futures

import numpy as np
from absl import flags

from audio_triplet import locks
from audio_triplet.errors import UsageError
from benchmarks import harness

PARTS = ("one_core", "preparing", "kills", "shards", "losses", "manifest")
CLIP_SECONDS, CLIP_RATE = 10, 44_100
AUDIOSET_CLIPS = 2_000_000
GOAL_EFFICIENCY = 0.85
_RATES = (1e-4, 1e-3)


def measure() -> dict[str, list[harness.Table]]:
    """Runs the parts that --parts names."""
    values = flags.FLAGS
    unknown = sorted(set(values.parts) - set(PARTS))
    if unknown:
        raise UsageError(f"--parts={','.join(unknown)}: the parts are {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory(dir=values.work_dir or None) as folder:
        few = make_clips(os.path.join(folder, "few"), values.few_clips, values.seed + 1)
        prepared = os.path.join(folder, "few-prepared")
        parts = {
            "one_core": lambda: measure_one_core(few, os.path.join(folder, "alone")),
            "preparing": lambda: measure_preparing(few, folder),
            "kills": lambda: measure_kills(few, prepared, folder),
            "shards": lambda: measure_shards(prepared),
            "losses": lambda: measure_losses(prepared, folder),
            "manifest": measure_manifest,
        }
        if {"kills", "shards", "losses"} & set(values.parts):
            run_whole(command(few, prepared, "--engine=threads"))
        return {part: [parts[part]()] for part in PARTS if part in values.parts}


# --- preparing ----------------------------------------------------------------------------------


def make_clips(folder: str, count: int, seed: int) -> str:
    """Writes clips of --corpus's recordings, in folders of 1,000; returns their folder."""
    import soundfile

    recordings = harness.sounds(min(count, 200), CLIP_SECONDS, CLIP_RATE)
    harness.progress(f"writing {count} clips from {len(recordings)} recordings")
    draw = np.random.default_rng(seed)
    for number in range(count):
        one, other = draw.integers(len(recordings), size=2)
        cut = draw.integers(len(recordings[one]))
        clip = np.concatenate([recordings[one][cut:], recordings[other][:cut]])
        path = os.path.join(folder, f"{number // 1000:04d}", f"{number:07d}.flac")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        soundfile.write(path, clip.clip(-1, 1), CLIP_RATE)
    return folder


def command(clips: str, output_dir: str, *more: str) -> list[str]:
    """The command that prepares clips."""
    count = sum(len(names) for _, _, names in os.walk(clips))
    return [
        sys.executable,
        "-m",
        "data_prep.prepare",
        f"--corpus=folders:{clips}",
        f"--output_dir={output_dir}",
        f"--num_shards={max(4, math.ceil(count / 1000) * 2)}",
        *more,
    ]


def measure_one_core(clips: str, output: str) -> harness.Table:
    """Prepares a few clips in one thread of one process, and counts the processor's time.

    So does, in turns, a pair of processes that know nothing of each other, each on a core of its
    own: what two cores of this machine can do at best.
    """
    count = flags.FLAGS.few_clips
    table = harness.Table(
        "Preparing, one core",
        f"{count} clips of {CLIP_SECONDS} s, {CLIP_RATE} Hz FLAC; processor "
        "time of one process with one thread, start-up excluded; medians of "
        f"{flags.FLAGS.repeats} runs",
    )
    allowed = sorted(os.sched_getaffinity(0))

    def work(core: int) -> dict[str, float]:
        os.sched_setaffinity(0, {core})  # of this thread, and of the process that it starts
        mine = f"{output}-{core}"
        shutil.rmtree(mine, ignore_errors=True)
        found, memory = harness.in_child(
            "benchmarks.scaling:prepare_few", cores=1, clips=clips, output=mine
        )
        return found | {"memory": memory}

    alone, beside = [], []
    with futures.ThreadPoolExecutor(2) as executor:
        for _ in range(flags.FLAGS.repeats):
            alone.append(executor.submit(work, allowed[0]).result())
            beside.extend(executor.map(work, allowed[:2]))
    middle, pair = (
        {key: statistics.median(one[key] for one in some) for key in some[0]}
        for some in (alone, beside)
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


def measure_preparing(few: str, folder: str) -> harness.Table:
    """Prepares the clips on one core and on two, in turns."""
    count, repeats = flags.FLAGS.clips, flags.FLAGS.repeats
    clips = make_clips(os.path.join(folder, "clips"), count, flags.FLAGS.seed)
    table = harness.Table(
        "Preparing",
        f"{count} clips of {CLIP_SECONDS} s, {CLIP_RATE} Hz FLAC, by `python -m "
        "data_prep.prepare`, one Beam pipeline with as many worker processes as cores; start-up of "
        f"the pipeline and of the workers included, but where it says otherwise: there the seconds "
        f"that {flags.FLAGS.few_clips} clips take are taken off. Medians of {repeats} runs in "
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
            arguments = command(clips, output, f"--direct_num_workers={cores}")
            runs[cores].append(timed(arguments, cores))
            found[cores] = digests(output)
            shutil.rmtree(output)
            arguments = command(few, output, f"--direct_num_workers={cores}")
            runs[cores][-1]["start-up"] = timed(arguments, cores)["seconds"]
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
        net = (count - flags.FLAGS.few_clips) / (run["seconds"] - run["start-up"])
        table.add(
            f"{cores} cores, without start-up",
            net,
            "clips/s",
            more={f"s for {flags.FLAGS.few_clips} clips": run["start-up"]},
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


def timed(arguments: list[str], cores: int) -> dict[str, float]:
    """Runs a command on so many cores: its seconds, processor seconds, and memory in GB."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    memory, errors = [], []
    reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
    reader.start()
    while process.poll() is None:
        memory.append((time.monotonic() - begin, tree_gigabytes(process.pid)))
        time.sleep(1)
    reader.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{errors[0][-2000:]}")
    seconds = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    third = max(size for at, size in memory if at <= seconds / 3)
    return {
        "seconds": seconds,
        "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "third": third,
        "most": max(size for _, size in memory),
    }


def tree_gigabytes(root: int) -> float:
    """Resident memory of a process and of all below it, in GB."""
    parents, sizes = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(name)], sizes[int(name)] = int(fields[1]), int(fields[21])
    total, waiting = 0, [root]
    while waiting:
        one = waiting.pop()
        total += sizes.get(one, 0)
        waiting += [child for child, parent in parents.items() if parent == one]
    return total * resource.getpagesize() / 1e9


def digests(folder: str) -> dict[str, str]:
    """File name → digest of its bytes, of all files of a folder."""
    found = {}
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def measure_kills(clips: str, undisturbed: str, folder: str) -> harness.Table:
    """Kills runs at random moments, and compares what they end with, with an undisturbed run."""
    values = flags.FLAGS
    table = harness.Table(
        "Killed while preparing",
        f"{values.few_clips} clips; kill -9 at moments drawn evenly "
        "from the time an undisturbed run takes, start-up excluded; then the run is started once "
        "more and not killed",
    )
    (killed, ended, resumed), _ = harness.in_child(
        "benchmarks.scaling:kill_threads",
        clips=clips,
        output=os.path.join(folder, "killed"),
        undisturbed=undisturbed,
        kills=values.kills,
        seed=values.seed,
    )
    table.add(
        "kills of a process and its threads",
        killed,
        more={"with finished shards": resumed},
        note=f"{ended} runs had ended before their moment came, and were compared too",
    )
    if values.beam_kills:
        resumed = kill_beam(clips, os.path.join(folder, "killed-beam"), values.beam_kills)
        table.add(
            "kills of a Beam pipeline",
            values.beam_kills,
            more={"with finished shards": resumed},
            note="in turns its driver alone, and driver and workers",
        )
    whole = digests(undisturbed)
    for name in ("killed", "killed-beam") if values.beam_kills else ("killed",):
        same = digests(os.path.join(folder, name)) == whole
        table.goal(f"{name}: all files byte for byte as undisturbed (1: yes)", float(same), 1)
    return table


def kill_threads(
    clips: str, output: str, undisturbed: str, kills: int, seed: int
) -> tuple[int, int, int]:
    """Forks runs and kills them; for a process of its own, whose TensorFlow has done nothing yet.

    Returns:
      Kills, runs that ended before, and runs that were killed when they had finished shards.
    """
    import tensorflow  # noqa: F401  Once, and not in every fork.

    from audio_triplet.config import PrepareConfig
    from audio_triplet.corpora import registry
    from data_prep import preparation

    manifest = registry.load_corpus(f"folders:{clips}")

    def start() -> int:
        child = os.fork()
        if child == 0:
            try:
                config = PrepareConfig(num_shards=4)
                preparation.prepare(manifest, output, config, progress=False)
                os._exit(0)
            finally:
                os._exit(1)
        return child

    def ended_well(status: int) -> bool:
        return os.waitstatus_to_exitcode(status) == 0 and digests(output) == digests(undisturbed)

    begin = time.monotonic()
    assert ended_well(os.waitpid(start(), 0)[1])
    span, draw = time.monotonic() - begin, random.Random(seed)
    shutil.rmtree(output)
    done = ended = resumed = 0
    while done < kills:
        child = start()
        time.sleep(draw.uniform(0, span))
        over, status = os.waitpid(child, os.WNOHANG)
        if over:
            assert ended_well(status)
            ended += 1
            shutil.rmtree(output)
            continue
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        done += 1
        if os.path.isdir(output):
            resumed += any(name.endswith(".tfrecord") for name in os.listdir(output))
    assert ended_well(os.waitpid(start(), 0)[1])
    return done, ended, resumed


def kill_beam(clips: str, output: str, kills: int) -> int:
    """Kills Beam pipelines, then lets one end; how many had finished shards when killed."""
    draw, done, resumed = random.Random(flags.FLAGS.seed), 0, 0
    arguments = command(clips, output, "--direct_num_workers=2")
    while done < kills:
        process = subprocess.Popen(
            arguments,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and holder(output) != process.pid:
            time.sleep(0.02)
        moment = time.monotonic() + draw.uniform(0, flags.FLAGS.beam_kill_seconds)
        while process.poll() is None and time.monotonic() < moment:
            time.sleep(0.02)
        if process.poll() is not None:
            shutil.rmtree(output)
            continue
        resumed += any(name.endswith(".tfrecord") for name in os.listdir(output))
        if done % 2:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        end_session(process.pid)
        done += 1
    run_whole(arguments)
    return resumed


def holder(folder: str) -> int | None:
    """The process that says it is preparing a folder."""
    try:
        with open(os.path.join(folder, locks.LOCK_FILE), encoding="utf-8") as file:
            return json.load(file)["process"]
    except (OSError, ValueError):
        return None


def end_session(leader: int) -> None:
    """Waits for workers whose driver was killed to end by themselves; ends them after a while."""
    for _ in range(300):
        try:
            os.killpg(leader, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(leader, signal.SIGKILL)


def run_whole(arguments: list[str]) -> None:
    """Runs a command to its end."""
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


# --- shards -------------------------------------------------------------------------------------


def measure_shards(prepared: str) -> harness.Table:
    """Bytes of the shards, and how long reading them takes beside a training step."""
    from audio_triplet import distribution
    from audio_triplet.config import EncoderConfig, PipelineConfig, RunConfig, TrainingConfig
    from audio_triplet.data import batching, shard_source
    from audio_triplet.training.trainer import Trainer

    with open(os.path.join(prepared, "summary.json"), encoding="utf-8") as file:
        summary = json.load(file)
    table = harness.Table(
        "Shards",
        "batches of 64 triplets, all four constraints, from the prepared shards into "
        "nothing, against a training step of the full network in float32; medians",
    )
    table.add("size", summary["bytes_per_hour"] / 1e6, "MB an hour of sound")
    table.add(
        "size of 2 M clips", summary["bytes"] / summary["segments"] * AUDIOSET_CLIPS / 1e9, "GB"
    )
    source = shard_source.ShardChunks(prepared, ("train",))
    config = RunConfig(
        pipeline=PipelineConfig(64),
        encoder=EncoderConfig(width=flags.FLAGS.width),
        training=TrainingConfig(precision="float32"),
    )
    trainer = Trainer(config, distribution.build_strategy("cpu"))
    batches = iter(batching.triplet_batches(source, config.triplets, config.pipeline))
    batch = next(batches)
    reading = 50
    taken = harness.interleaved(
        {
            "read": lambda: [next(batches) for _ in range(reading)],
            "step": lambda: float(trainer.step(batch)["loss"]),
        },
        flags.FLAGS.repeats,
    )
    read = taken["read"].median / reading
    table.add("reading and making triplets", 64 / read, "triplets/s")
    table.add(
        f"training step, width {flags.FLAGS.width:g}", 64 / taken["step"].median, "triplets/s"
    )
    share = statistics.median(
        one / reading / other
        for one, other in zip(taken["read"].seconds, taken["step"].seconds, strict=True)
    )
    table.goal("% of a step's time that reading takes, on all cores", 100 * share, 1, at_most=True)
    return table


# --- replicas and processes ---------------------------------------------------------------------


def measure_losses(prepared: str, folder: str) -> harness.Table:
    """The same run on 1, 2 and 4 replicas of one process, and on two processes.

    Sums in another order round otherwise, and training makes more of it with every step, the more
    the higher the learning rate. How much is shown by the same run on one replica from weights
    that are one rounding apart.
    """
    steps = flags.FLAGS.steps
    table = harness.Table(
        "One global batch on any number of devices",
        f"{steps} steps, 16 triplets, from the same "
        "weights; logical CPU devices, and two processes over loopback; largest difference of a "
        f"loss to that of one replica. The goal is for the paper's learning rate, {_RATES[0]:g}",
    )
    for rate in _RATES:
        output = os.path.join(folder, f"losses-{rate:g}")
        run = functools.partial(_losses_of, prepared=prepared, steps=steps, rate=rate)
        alone = run(os.path.join(output, "1"), count=1)
        found = {
            f"{count} replicas": run(os.path.join(output, f"{count}"), count=count)
            for count in (2, 4)
        }
        found["2 processes"] = _losses_of_workers(os.path.join(output, "workers"), run)
        found["1 replica, weights one rounding apart"] = run(
            os.path.join(output, "nudged"), count=1, nudged=True
        )
        worst = {
            name: max(abs(a - b) for a, b in zip(losses, alone, strict=True))
            for name, losses in found.items()
        }
        for name, difference in worst.items():
            table.add(f"{name}, learning rate {rate:g}", difference)
        if rate == _RATES[0]:
            del worst["1 replica, weights one rounding apart"]
            table.goal("largest difference of a loss", max(worst.values()), 1e-4, at_most=True)
    return table


def _losses_of(output: str, **settings) -> list[float]:
    """`replica_losses` in a process of its own."""
    found, _ = harness.in_child("benchmarks.scaling:replica_losses", output=output, **settings)
    return found


def _losses_of_workers(output: str, run: functools.partial) -> list[float]:
    """`worker_losses` in two processes, with the settings of `run`."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(2)]
    workers = [f"localhost:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()

    def work(index):
        found, _ = harness.in_child(
            "benchmarks.scaling:worker_losses",
            workers=workers,
            index=index,
            output=output,
            **run.keywords,
        )
        return found

    with futures.ThreadPoolExecutor(2) as executor:
        one, other = executor.map(work, range(2))
    assert one == other
    return one


def replica_losses(
    prepared: str, output: str, steps: int, rate: float, count: int, nudged: bool = False
) -> list[float]:
    """Losses on so many logical CPU devices; for a process of its own."""
    import tensorflow as tf

    from audio_triplet import distribution

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    )
    return _losses(distribution.build_strategy("mirrored"), prepared, output, steps, rate, nudged)


def worker_losses(
    prepared: str, output: str, steps: int, rate: float, workers: list[str], index: int
) -> list[float]:
    """Losses as one of several workers; for a process of its own."""
    task = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
    os.environ["TF_CONFIG"] = json.dumps(task)
    from audio_triplet import distribution

    return _losses(distribution.build_strategy("multi_worker"), prepared, output, steps, rate)


def _losses(
    strategy, prepared: str, output: str, steps: int, rate: float, nudged: bool = False
) -> list[float]:
    from audio_triplet.config import EncoderConfig, PipelineConfig, RunConfig, TrainingConfig
    from audio_triplet.data import shard_source
    from audio_triplet.training import loop
    from audio_triplet.training.trainer import Trainer

    config = RunConfig(
        pipeline=PipelineConfig(16),
        encoder=EncoderConfig(width=0.125),
        training=TrainingConfig(steps=steps, learning_rate=rate, precision="float32"),
    )
    source = shard_source.ShardChunks(prepared, ("train",))
    trainer = Trainer(config, strategy)
    if nudged:
        for weight in trainer.encoder.trainable_variables:
            weight.assign(np.nextafter(np.asarray(weight), np.float32(np.inf)))
    return [row["loss"] for row in loop.run(trainer, source, output, progress=False)]


# --- a manifest of AudioSet's size --------------------------------------------------------------


def measure_manifest() -> harness.Table:
    """Reads and lays out a manifest of two million rows."""
    rows = flags.FLAGS.rows
    table = harness.Table(
        "A large manifest",
        f"{rows} rows of 10 s, 527 classes, two labels each; headers are not "
        "read (that takes as long as the disk needs), all else is what preparing does before the "
        "first shard",
    )
    taken, memory = harness.in_child("benchmarks.scaling:lay_out_rows", rows=rows)
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
    from audio_triplet.data import manifest
    from data_prep.engine import Engine
    from data_prep.layout import fingerprint, lay_out, read_layout

    taken, begin = {}, time.process_time()

    def told(name):
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
        told("writing the table for this measurement")
        found = manifest.Manifest.read(path)
        told("reading and checking it")
        config = PrepareConfig()
        digest = fingerprint(found, config)
        told("fingerprint (one look at each file)")
        output = os.path.join(folder, "out")
        with mock.patch.object(reading_module, "probe", lambda path: info):
            layout = lay_out(found, output, config, digest, None, Engine())
        told("layout of all shards")
        names = [name for split in layout["splits"].values() for name in split["shards"]]
        assert sum(split["pieces"] for split in layout["splits"].values()) == rows
        read_layout(output, digest)
        told(f"reading the layout again ({len(names)} shards)")
    return taken


if __name__ == "__main__":
    flags.DEFINE_integer("clips", 10_000, "Clips to prepare.")
    flags.DEFINE_integer("few_clips", 300, "Clips for all that needs only some.", lower_bound=8)
    flags.DEFINE_integer("kills", 20, "Kills of a process.")
    flags.DEFINE_integer("beam_kills", 4, "Kills of a Beam pipeline.")
    flags.DEFINE_float("beam_kill_seconds", 20.0, "Latest moment of such a kill.")
    flags.DEFINE_integer("rows", AUDIOSET_CLIPS, "Rows of the large manifest.")
    flags.DEFINE_integer("steps", 20, "Training steps whose losses are compared.")
    flags.DEFINE_float("width", 1.0, "Width of the encoder whose step reading is compared with.")
    flags.DEFINE_list("parts", list(PARTS), f"What to measure, of {', '.join(PARTS)}.")
    flags.DEFINE_integer("seed", 0, "Seed of the clips and of the kills.")
    flags.DEFINE_string("work_dir", "", "Where to write the clips (1 MB each).")
    harness.main(measure, parts=PARTS)
