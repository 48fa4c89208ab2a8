"""The shell of every script of the experiments: flags, one writer, errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from absl import app, flags

from audio_triplet import locks
from audio_triplet.commands import garbage, terminal
from audio_triplet.errors import UsageError

# absl attributes flags that this module defines to the script, so that its --help lists them.
flags.disclaim_key_flags()


def start(define_flags: Callable[[], None], main: Callable[[list[str]], None]) -> None:
    """Runs a script; its --help lists all its flags, in whatever module they are defined.

    Args:
      define_flags: Defines them; called once.
      main: Called with the arguments that are no flags.
    """
    before = set(flags.FLAGS)
    define_flags()
    for name in set(flags.FLAGS) - before:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    app.run(main)


def make_table(
    program: str, output_dir: str, make: Callable[[], dict], markdown: Callable[[dict], str]
) -> None:
    """Makes a table as the only writer of a folder, and prints it; errors are one line.

    Args:
      program: Name of the script.
      output_dir: The folder.
      make: Trains and scores what is missing, writes the table and returns its content.
      markdown: That content as Markdown.
    """
    garbage.collect_rarely()
    terminal.set_up_logging()
    with terminal.clear_errors(program), locks.exclusive(output_dir):
        table = make()
    print(markdown(table))
    print(f"written to {output_dir}")


def define_rescore_flag() -> None:
    """Defines the flag of every script that scores embeddings it has saved."""
    flags.DEFINE_boolean(
        "rescore",
        False,
        "Score the saved embeddings again, even if they have scores, and train "
        "nothing: a missing embedding is an error.",
    )


def define_seeds_flag(text: str) -> None:
    """Defines the flag of every script that repeats its runs.

    Args:
      text: What is repeated for each seed.
    """
    flags.DEFINE_list("seeds", ["0"], text)


def check_rows(given: Sequence[str], known: Sequence[str]) -> None:
    """Raises UsageError unless --rows names known rows, each once."""
    unknown = [row for row in given if row not in known]
    if unknown:
        raise UsageError(f"--rows: {', '.join(unknown)} unknown; choose from {', '.join(known)}")
    if len(set(given)) < len(given) or not given:
        raise UsageError(f"--rows={','.join(given)}: name at least one row, and each row once")


def whole_numbers(flag: str, given: Sequence[str], least: int) -> tuple[int, ...]:
    """The value of a list flag as different whole numbers, ascending.

    Args:
      flag: Name of the flag, for the message.
      given: Its value.
      least: The smallest number allowed.

    Raises:
      UsageError: It is something else.
    """
    try:
        found = sorted({int(number) for number in given})
    except ValueError:
        found = []
    if not found or found[0] < least:
        raise UsageError(
            f"--{flag}={','.join(given)}: write whole numbers of {least} or more, as 1,2,5"
        )
    return tuple(found)
