"""Beam's engines, its *runners*, by name; their flags; one line where one cannot be had."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.util
import logging
import os
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast

from audio_triplet.errors import UsageError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_BEAM = "apache_beam.runners"
_OPTIONS = "apache_beam.options.pipeline_options"


@dataclasses.dataclass(frozen=True)
class Runner:
    """One of Beam's engines.

    Attributes:
      name: As in `--runner=`.
      path: Its class, with its module.
      options: Classes of its own flags, with their modules.
      extra: What `pip install` has to be told.
      packages: Packages that it needs beyond Beam.
      is_local: Whether its workers are processes of this machine.
      is_apart: Whether its workers never share this machine's disk.
      needs_java: Whether a Java program is started here, unless a flag names one that runs.
    """

    name: str
    path: str
    options: tuple[str, ...]
    extra: str = "audio_triplet[beam]"
    packages: tuple[str, ...] = ()
    is_local: bool = False
    is_apart: bool = False
    needs_java: bool = False


_PORTABLE = (f"{_OPTIONS}.PortableOptions", f"{_OPTIONS}.JobServerOptions")

# Beam's DirectRunner may fetch another engine (Prism) from the network; this is its own one.
_LOCAL = f"{_BEAM}.portability.fn_api_runner.FnApiRunner"

RUNNERS = (
    Runner("DirectRunner", _LOCAL, (f"{_OPTIONS}.DirectOptions",), is_local=True),
    Runner(
        "DaskRunner",
        f"{_BEAM}.dask.dask_runner.DaskRunner",
        (f"{_BEAM}.dask.dask_runner.DaskOptions",),
        extra="audio_triplet[dask]",
        packages=("dask", "distributed"),
    ),
    Runner(
        "FlinkRunner",
        f"{_BEAM}.portability.flink_runner.FlinkRunner",
        (f"{_OPTIONS}.FlinkRunnerOptions", *_PORTABLE),
        needs_java=True,
    ),
    Runner(
        "SparkRunner",
        f"{_BEAM}.portability.spark_runner.SparkRunner",
        (f"{_OPTIONS}.SparkRunnerOptions", *_PORTABLE),
        needs_java=True,
    ),
    Runner(
        "DataflowRunner",
        f"{_BEAM}.dataflow.dataflow_runner.DataflowRunner",
        (f"{_OPTIONS}.GoogleCloudOptions", f"{_OPTIONS}.WorkerOptions"),
        extra="apache-beam[gcp]",
        packages=("google.cloud.storage", "google.auth"),
        is_apart=True,
    ),
    Runner("PortableRunner", f"{_BEAM}.portability.portable_runner.PortableRunner", _PORTABLE),
)


def named(name: str) -> Runner:
    """The runner of a name: short, without `Runner`, in any case, or a class with its module.

    Raises:
      UsageError: There is none, or what it needs is not installed; the message says how to get it.
    """
    key = (name or "DirectRunner").lower()
    same = {"fnapirunner": "directrunner", _LOCAL.lower(): "directrunner"}
    key = same.get(key, key)
    for runner in RUNNERS:
        if key in (runner.name.lower(), f"{runner.name.lower()}".removesuffix("runner")) or (
            key == runner.path.lower()
        ):
            return _installed(runner)
    if "." not in name:
        raise UsageError(
            f"--runner={name}: no such runner; choose from "
            f"{', '.join(runner.name for runner in RUNNERS)}, or name a class with its module"
        )
    return _installed(Runner(name, name, ()))


def _installed(runner: Runner) -> Runner:
    missing = [package for package in ("apache_beam", *runner.packages) if not _is_found(package)]
    if not missing:
        try:
            _class(runner.path)
            return runner
        except (ImportError, AttributeError) as error:
            if not runner.options:
                raise UsageError(
                    f"--runner={runner.name}: cannot be imported ({error}); choose from "
                    f"{', '.join(runner.name for runner in RUNNERS)}"
                ) from error
            missing = [str(error)]
    raise UsageError(
        f"--runner={runner.name}: {missing[0]} is not installed; pip install '{runner.extra}'"
    )


def _is_found(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # of a name with dots, when the first of them is missing
        return False


def _class(path: str) -> Any:
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are ours."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{' '.join(message.split())}; --help with --runner=… lists the flags")


@dataclasses.dataclass(frozen=True)
class Parsed:
    """A command line for a runner.

    Attributes:
      runner: The runner.
      options: Beam's options.
      rest: What is not a flag.
    """

    runner: Runner
    options: PipelineOptions
    rest: tuple[str, ...]


def parse(arguments: Sequence[str]) -> Parsed:
    """Reads the flags of Beam and of the runner that they name.

    Args:
      arguments: Flags such as --runner=DaskRunner, and what else is on the command line.

    Raises:
      UsageError: There is no such runner or flag, a value is wrong, or a package is missing.
    """
    import_beam(arguments[0] if arguments else "--runner")
    from apache_beam.options.pipeline_options import (
        DirectOptions,
        PipelineOptions,
        StandardOptions,
        WorkerOptions,
    )

    from audio_triplet import provenance

    runner = named(runner_name(arguments))
    parser = _Parser(add_help=False, allow_abbrev=False)
    own = {_class(path) for path in runner.options}
    others = {path.rsplit(".", 1)[1] for other in RUNNERS for path in other.options} - {
        part.__name__ for part in own
    }
    foreign = {"DaskOptions"} & others  # the rest belongs to every pipeline, by Beam's custom
    for part in PipelineOptions.__subclasses__():
        if part.__name__ not in foreign:
            part._add_argparse_args(cast(Any, parser))
    _, rest = parser.parse_known_args(list(arguments))
    for unknown in rest:
        if unknown.startswith("-"):
            raise UsageError(
                f"{unknown}: neither a flag of this command nor of Apache Beam's {runner.name}; "
                f"--help --runner={runner.name} lists them"
            )
    flags = _without(arguments, rest)
    options = PipelineOptions(flags)
    if not any(flag.startswith("--default_sdk_harness_log_level") for flag in flags):
        options.view_as(WorkerOptions).default_sdk_harness_log_level = "WARNING"
    options.view_as(StandardOptions).runner = runner.path
    if runner.is_local:
        direct = options.view_as(DirectOptions)
        if not any(flag.startswith("--direct_num_workers") for flag in flags):
            direct.direct_num_workers = provenance.cores()
        if not any(flag.startswith("--direct_running_mode") for flag in flags):
            direct.direct_running_mode = "multi_processing"
    if runner.name == "DaskRunner":
        dask = options.view_as(_class(runner.options[0]))
        if not dask.npartitions and not dask.partition_size:
            # Beam would give 128 jobs to a worker at a time, which is all of them to one.
            dask.partition_size = 1
    return Parsed(runner, options, tuple(rest))


def import_beam(flag: str) -> None:
    """Checks that Apache Beam is installed.

    Raises:
      UsageError: It is not; the message begins with the flag that needs it.
    """
    if not _is_found("apache_beam"):
        raise UsageError(
            f"{flag}: needs Apache Beam, which is not installed; pip install 'audio_triplet[beam]'"
        )
    logging.disable(logging.WARNING)  # of packages for Google's cloud that are not there
    try:
        importlib.import_module("apache_beam")
    finally:
        logging.disable(logging.NOTSET)


def runner_name(arguments: Sequence[str]) -> str:
    """The value of the last `--runner`; empty if there is none."""
    found = ""
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name.lstrip("-") == "runner" and name.startswith("-"):
            found = value if equals else "".join(arguments[number + 1 : number + 2])
    return found


def _without(arguments: Sequence[str], rest: Sequence[str]) -> list[str]:
    """The arguments but for those that a parser left over, which come in their order."""
    left = list(rest)
    kept = []
    for argument in arguments:
        if left and argument == left[0]:
            left.pop(0)
        else:
            kept.append(argument)
    return kept


def help_text(name: str) -> str:
    """The flags of a runner's own, as text for `--help`.

    Raises:
      UsageError: As `named`.
    """
    import_beam(f"--runner={name}")
    runner = named(name)
    parser = argparse.ArgumentParser(
        add_help=False,
        usage=argparse.SUPPRESS,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, 2, 6, 100),
    )
    group = parser.add_argument_group(f"flags of {runner.name}")
    group.add_argument = _cleaned(group.add_argument)  # type: ignore[method-assign]
    for path in runner.options:
        _class(path)._add_argparse_args(_Group(group))
    lines = parser.format_help().strip()
    return f"{lines}\n\nBeam's documentation lists the flags that all runners have."


class _Group:
    """What `_add_argparse_args` of Beam's options asks of a parser, for one group of the help."""

    def __init__(self, group: argparse._ArgumentGroup):
        self.add_argument = group.add_argument

    def add_value_provider_argument(self, *names: str, **options) -> None:
        self.add_argument(*names, **options)

    def add_mutually_exclusive_group(self, **_) -> _Group:
        return self


def _cleaned(add):
    """`add_argument` that takes the help as it is, without argparse's %(…)s."""

    def added(*names, **options):
        return add(*names, **options | {"help": str(options.get("help") or "").replace("%", "%%")})

    return added


def check_java(parsed: Parsed) -> None:
    """Checks for the program that starts a Flink or Spark pipeline.

    Raises:
      UsageError: It is missing.
    """
    if not parsed.runner.needs_java:
        return
    values = parsed.options.get_all_options()
    if any(map(values.get, ("job_endpoint", "spark_rest_url", "flink_submit_uber_jar"))):
        return
    home = os.environ.get("JAVA_HOME")
    if not (shutil.which("java") or (home and shutil.which(os.path.join(home, "bin", "java")))):
        raise UsageError(
            f"--runner={parsed.runner.name}: Beam starts a Java program for it, and there is no "
            "`java`; install Java 11 or later, or name a job server that runs: "
            "--job_endpoint=HOST:8099"
        )
