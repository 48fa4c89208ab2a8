"""The command line: `audio-triplet VERB`, a module for each verb.

In: flags and arguments. Out: files, a few lines on the terminal, an exit code. A module turns its
flags into arguments of functions in other rooms.

In reading order:

main.py           the verbs; the entry point
verbs.py          a command with verbs: listing them, and running one with its own flags
help_text.py      what `--help` prints
config_flags.py   configuration dataclasses as flags
terminal.py       plain log lines, errors in one line
signals.py        Ctrl-C and SIGTERM
supervisor.py     commands go on after a decoder crashed
inputs.py         the sound named on a command line
progress.py       hours done, hours per minute, time left
embed.py, index.py, search.py, classify/, deploy.py    the verbs
"""
