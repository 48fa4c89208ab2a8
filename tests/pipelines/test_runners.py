import contextlib
import os
import subprocess
import sys
import time

import pytest

import audio_triplet
from audio_triplet import provenance
from audio_triplet.errors import UsageError
from audio_triplet.pipelines import checks, runners, running

pytest.importorskip("apache_beam", reason="apache-beam is not installed")


def test_runners_by_short_names_and_their_flags():
    values = runners.parse([]).options.get_all_options()
    assert values["direct_num_workers"] == provenance.cores()
    assert values["runner"].endswith("FnApiRunner")
    for name in ("FlinkRunner", "flinkrunner", "flink"):
        flink = runners.parse([f"--runner={name}", "--flink_master=localhost:8081", "sound"])
        assert flink.runner.name == "FlinkRunner" and flink.rest == ("sound",)
        values = flink.options.get_all_options()
        assert values["flink_master"] == "localhost:8081"
        assert values["runner"].endswith("flink_runner.FlinkRunner")
    spark = runners.parse(["--runner", "SparkRunner", "--spark_master_url", "spark://h:7077"])
    assert spark.options.get_all_options()["spark_master_url"] == "spark://h:7077"
    assert spark.rest == ()


def within_seconds(holds):
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_finished_jobs_are_taken_in_their_order_while_others_are_worked_on(monkeypatch):
    monkeypatch.setattr(running, "_LOOK_SECONDS", 0.01)
    done, taken, seconds = set(), [], []
    todo = {"a": 1, "b": 2, "c": 4, "d": 8, "e": 16}
    with running.Watch(done.__contains__, todo, seconds.append, taken.append):
        done.add("b")
        time.sleep(0.1)
        assert not taken
        done.add("a")
        within_seconds(lambda: taken == ["a", "b"])
        done.update("de")
        time.sleep(0.1)
        assert taken == ["a", "b"]
        done.add("c")
        within_seconds(lambda: len(taken) == 5)
    assert taken == list(todo) and sum(seconds) == 31


def test_a_job_that_cannot_be_taken_is_left_to_the_end(monkeypatch):
    monkeypatch.setattr(running, "_LOOK_SECONDS", 0.01)
    tried, seconds = [], []

    def take(name):
        tried.append(name)
        if name == "b":
            raise OSError("the disk is full")

    with running.Watch(lambda name: True, dict.fromkeys("abc", 1), seconds.append, take):
        within_seconds(lambda: "b" in tried and sum(seconds) == 3)
    assert tried == ["a", "b"]


def test_dask_by_its_short_name():
    pytest.importorskip("distributed", reason="dask is not installed")
    arguments = ["--runner=DaskRunner", "--dask_client_address=tcp://h:8786"]
    values = runners.parse(arguments).options.get_all_options()
    assert values["runner"] == "apache_beam.runners.dask.dask_runner.DaskRunner"
    assert values["partition_size"] == 1 and values["npartitions"] is None
    chosen = runners.parse([*arguments, "--dask_npartitions=3"]).options.get_all_options()
    assert chosen["npartitions"] == 3 and chosen["partition_size"] is None
    assert values["address"] == "tcp://h:8786"
    # Its flags are no one else's.
    with pytest.raises(UsageError, match="--dask_client_address=tcp://h:8786: neither a flag"):
        runners.parse(["--runner=FlinkRunner", *arguments[1:]])
    assert "--dask_client_address" in runners.help_text("DaskRunner")
    with pytest.raises(UsageError, match="dask_connection_limit: invalid int value: 'x'"):
        runners.parse([*arguments, "--dask_connection_limit=x"])


def test_what_is_wrong_is_one_line(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="--runner=Dusk: no such runner; choose from DirectRunner"):
        runners.parse(["--runner=Dusk"])
    with pytest.raises(UsageError, match="--runner=a.b.Runner: cannot be imported"):
        runners.parse(["--runner=a.b.Runner"])
    with pytest.raises(UsageError, match="--parallelism: invalid int value: 'many'"):
        runners.parse(["--runner=FlinkRunner", "--parallelism=many"])
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(UsageError, match="--runner=FlinkRunner: Beam starts a Java program"):
        checks.check(runners.parse(["--runner=FlinkRunner"]), str(tmp_path))
    checks.check(runners.parse(["--runner=FlinkRunner", "--job_endpoint=h:8099"]), str(tmp_path))
    far = runners.Parsed(runners.RUNNERS[4], None, ())
    with pytest.raises(UsageError, match="do not see this machine's disk; name an address"):
        checks.check(far, str(tmp_path))
    checks.check(far, "gs://bucket/out", ["gs://bucket/a.wav"])
    monkeypatch.setattr(runners.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'audio_triplet\[beam\]'"):
        runners.parse(["--runner=DaskRunner"])
    monkeypatch.setattr(
        runners.importlib.util, "find_spec", lambda name: name if "beam" in name else None
    )
    with pytest.raises(UsageError, match=r"dask is not installed; pip install 'audio_triplet\[da"):
        runners.parse(["--runner=DaskRunner"])


def test_help_of_every_runner_shows_its_flags():
    for name, flag in (
        ("DirectRunner", "--direct_num_workers"),
        ("FlinkRunner", "--flink_master"),
        ("SparkRunner", "--spark_master_url"),
        ("PortableRunner", "--job_endpoint"),
    ):
        text = runners.help_text(name)
        assert flag in text and f"flags of {name}" in text
        assert max(map(len, text.splitlines())) <= 120


@contextlib.contextmanager
def dask_worker(tmp_path, environment=None):
    """A scheduler, and a worker process that may lack what this process has."""
    distributed = pytest.importorskip("distributed", reason="dask is not installed")
    with distributed.LocalCluster(
        n_workers=0, dashboard_address=":0", processes=False, protocol="tcp://"
    ) as cluster:
        address = cluster.scheduler_address
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny"]
        command += ["--no-dashboard", f"--local-directory={tmp_path / 'scratch'}"]
        worker = subprocess.Popen(
            command,
            env=os.environ | (environment or {}),
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
        )
        try:
            with distributed.Client(cluster) as client:
                client.wait_for_workers(1, timeout=60)
            yield address
        finally:
            worker.terminate()
            worker.wait(30)


@pytest.mark.slow
def test_workers_of_dask_are_asked_before_anything_runs(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    no_program = tmp_path / "elsewhere" / "audio_triplet.py"
    no_program.parent.mkdir()
    no_program.write_text("__version__ = '0.0.1'\n")
    with dask_worker(tmp_path) as address:
        parsed = runners.parse(["--runner=DaskRunner", f"--dask_client_address={address}"])
        checks.check(parsed, str(shared))
        assert not list(shared.iterdir())
    with dask_worker(tmp_path, {"PYTHONPATH": str(no_program.parent)}) as address:
        parsed = runners.parse(["--runner=DaskRunner", f"--dask_client_address={address}"])
        with pytest.raises(UsageError, match=r"worker tcp.*: has audio_triplet 0\.0\.1, and this"):
            checks.check(parsed, str(shared))
    with pytest.raises(UsageError, match="no such file; name the one of `dask scheduler`"):
        checks.check(
            runners.parse(["--runner=DaskRunner", "--dask_scheduler_file=none.json"]), str(shared)
        )


def test_answers_of_workers_are_judged():
    answer = {"version": "", "host": "b", "missing": []}
    with pytest.raises(UsageError, match="worker tcp://b:1: has no audio_triplet; start it from"):
        checks._check_answer("tcp://b:1", answer, "/out")
    answer |= {"version": audio_triplet.__version__}
    checks._check_answer("tcp://b:1", answer, "/out")
    with pytest.raises(UsageError, match="^/out: worker tcp://b:1 on b cannot read it as"):
        checks._check_answer("tcp://b:1", answer | {"missing": ["/out/.token.tmp"]}, "/out")


def test_no_scheduler_is_one_line(monkeypatch, tmp_path):
    pytest.importorskip("distributed", reason="dask is not installed")
    monkeypatch.setattr(checks, "_CONNECT_SECONDS", 1)
    parsed = runners.parse(["--runner=DaskRunner", "--dask_client_address=tcp://127.0.0.1:9"])
    with pytest.raises(UsageError, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler answers"):
        checks.check(parsed, str(tmp_path))


def test_a_runner_that_was_lost_is_one_line():
    from audio_triplet.pipelines import running

    # Dask's client calls a pipeline done of which the scheduler was killed.
    parsed = runners.parse(["--runner=DirectRunner", "--direct_running_mode=in_memory"])
    work = running.beam.DoFn()
    work.process = lambda name: [name]
    lost = "1 of 2 jobs are not done.*start them again, and the same command goes on$"
    with pytest.raises(UsageError, match=lost):
        running.run(parsed, "nothing", ["a", "b"], work, lambda name: name == "a")
    client = pytest.importorskip("distributed.client", reason="dask is not installed")
    with pytest.raises(UsageError, match=r"were lost \(x cancelled for reason: scheduler-"):
        with running._known_errors("DaskRunner"):
            raise client.FutureCancelledError("x", "scheduler-connection-lost")


def test_errors_of_workers_and_of_runners_are_one_line():
    from audio_triplet.pipelines import running

    text = (
        "Traceback (most recent call last):\n  File ...\n"
        "audio_triplet.errors.ExportError: m: cannot be read; name another [while running 'w']\n"
    )
    with pytest.raises(UsageError, match="^m: cannot be read; name another$"):
        with running._known_errors("DirectRunner"):
            raise RuntimeError(text)
    with pytest.raises(UsageError, match="name the program by --flink_job_server_jar=FILE.jar"):
        with running._known_errors("FlinkRunner"):
            raise RuntimeError("Unable to fetch remote job server jar at https://…")
    with pytest.raises(KeyError):
        with running._known_errors("FlinkRunner"):
            raise KeyError("a defect")
