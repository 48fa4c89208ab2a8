"""A command with verbs: listing them, and running one with its own flags.

A verb is a module with a docstring, `define_flags()` and `main(argv)`. It is imported when it is
used, so that `--help` of the whole command costs nothing; heavy packages are imported in `main`.
"""

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence

from audio_triplet.commands import supervisor

_HELP = ("--help", "-help", "-h", "--helpshort", "help")


@dataclasses.dataclass(frozen=True)
class Verb:
    """One thing that a user does.

    Attributes:
      module: Where it is.
      summary: A line on it.
      inputs: What it takes before its flags, as in `SOUND...`.
      decodes: Whether it decodes many files, and goes on if one crashes a decoder.
      runs_on_clusters: Whether it takes `--runner`, and with it that runner's flags.
    """

    module: str
    summary: str
    inputs: str = ""
    decodes: bool = False
    runs_on_clusters: bool = False


@dataclasses.dataclass(frozen=True)
class VerbGroup:
    """A command that is called with one of several verbs.

    Attributes:
      verbs: Name → the verb, or a group of further ones.
      summary: A line on it.
      package: The package whose docstring explains it; empty: there is nothing to explain.
    """

    verbs: Mapping[str, "Verb | VerbGroup"]
    summary: str
    package: str = ""

    def paths(self) -> list[tuple[str, ...]]:
        """The names that lead to each verb and to each group of verbs; () is this group itself."""
        found: list[tuple[str, ...]] = [()]
        for name, verb in self.verbs.items():
            below = verb.paths() if isinstance(verb, VerbGroup) else [()]
            found += [(name, *names) for names in below]
        return found

    def help_text(self, program: str) -> str:
        """Every verb with a line.

        Args:
          program: The command as it is typed.
        """
        width = max(map(len, self.verbs))
        lines = [f"usage: {program} VERB [arguments] [--flags]", ""]
        if self.package:
            lines += [inspect.cleandoc(importlib.import_module(self.package).__doc__ or ""), ""]
        lines += [f"  {name:{width}}  {verb.summary}" for name, verb in self.verbs.items()]
        return "\n".join([*lines, "", f"{program} VERB --help explains one of them."])


def run(program: str, command: Verb | VerbGroup, arguments: Sequence[str]) -> None:
    """Runs a command line.

    Args:
      program: What was typed up to here: the beginning of messages and of `usage:`.
      command: The verbs.
      arguments: The rest of the command line.

    Raises:
      SystemExit: At the end, and for wrong arguments.
    """
    if isinstance(command, Verb):
        _run_verb(program, command, arguments)
        return
    name = arguments[0] if arguments else ""
    if name in _HELP:
        print(command.help_text(program))
    elif name in command.verbs:
        run(f"{program} {name}", command.verbs[name], arguments[1:])
    elif not name:
        raise SystemExit(command.help_text(program))
    else:
        raise SystemExit(f"{program}: {name}: no such verb; choose from {', '.join(command.verbs)}")


def _run_verb(program: str, verb: Verb, arguments: Sequence[str]) -> None:
    is_help = any(argument in _HELP[:-1] for argument in _before_double_dash(arguments))
    if verb.decodes and not is_help:
        supervisor.survive_crashes(program)

    from absl import app, flags

    from audio_triplet.commands import garbage, help_text, terminal

    module = importlib.import_module(verb.module)
    before = set(flags.FLAGS)
    runner = ""
    if verb.runs_on_clusters:
        from audio_triplet.pipelines import runners

        runner = runners.runner_name(arguments)
    module.define_flags()
    if is_help:
        own = [flags.FLAGS[name] for name in flags.FLAGS if name not in before]
        usage = " ".join(filter(None, [program, verb.inputs, "[--flags]"]))
        print(help_text.help_text(usage, module.__doc__ or "", own))
        if runner:
            with terminal.clear_errors(program):
                print(f"\n{runners.help_text(runner)}")
        return

    def main(argv: Sequence[str]) -> None:
        garbage.collect_rarely()
        terminal.set_up_logging()
        with terminal.clear_errors(program):
            module.main(argv)

    app.run(main, [program, *arguments], flags_parser=_parser(program, known_only=bool(runner)))


def _before_double_dash(arguments: Sequence[str]) -> list[str]:
    arguments = list(arguments)
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _parser(program: str, known_only: bool) -> Callable[[Sequence[str]], list[str]]:
    """A parser of flags whose errors are one line; unknown ones may be left to a runner."""
    from absl import flags

    def parse(argv: Sequence[str]) -> list[str]:
        try:
            return flags.FLAGS(argv, known_only=known_only)
        except flags.Error as error:
            message = " ".join(str(error).split())
            missing = re.search(r"Flag --(\w+) must have a value other than None", message)
            if missing:
                message = f"--{missing[1]} is needed"
            raise SystemExit(f"{program}: {message}; {program} --help lists the flags") from error

    return parse
