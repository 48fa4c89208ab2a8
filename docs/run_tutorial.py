"""Runs every command of a tutorial as it stands, one after the other, and keeps what they print.

    python docs/run_tutorial.py docs/tutorial.md --folder=tutorial --transcript=transcript.md

A command is an indented line that begins with `$`; commands run in --folder, where `.venv`,
`models` and whatever else they name must be. The first that fails ends the run with its output.
"""

import argparse
import os
import subprocess
import sys
import time

_PROMPT = "    $ "


def commands(text: str) -> list[str]:
    """The commands of a page of Markdown, in order."""
    return [line.removeprefix(_PROMPT) for line in text.splitlines() if line.startswith(_PROMPT)]


def main() -> int:
    """Runs them; the exit status is that of the last."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tutorial")
    parser.add_argument("--folder", default=".")
    parser.add_argument("--transcript", required=True)
    given = parser.parse_args()
    with open(given.tutorial, encoding="utf-8") as file:
        found = commands(file.read())
    with open(given.transcript, "w", encoding="utf-8") as transcript:
        for command in found:
            begin = time.monotonic()
            done = subprocess.run(
                command,
                shell=True,
                cwd=given.folder,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                stdin=subprocess.DEVNULL,
            )
            printed = done.stdout.replace(os.path.abspath(given.folder), "…")
            lines = "".join(f"    {line}\n" for line in printed.splitlines())
            transcript.write(f"{_PROMPT}{command}\n{lines}\n({time.monotonic() - begin:.0f} s)\n\n")
            transcript.flush()
            if done.returncode:
                print(f"{command}\nends by {done.returncode}:\n{printed}", file=sys.stderr)
                return done.returncode
    print(f"{len(found)} commands, see {given.transcript}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
