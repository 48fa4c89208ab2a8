"""Fault tests: kills, full disks, damaged files.

    python -m benchmarks.faults --output_dir=results                 # hours
    python -m benchmarks.faults --output_dir=/tmp/faults --only=kill_training --trials=5

Each part states a promise and tests it: sound files are damaged by the thousand, commands are
killed, interrupted and starved of disk at random moments, finished files are damaged. The results
of each trial are kept in --work_dir, so that a stopped part continues, and more --trials add to the
earlier ones. Written to --output_dir after every part: faults.json and faults.md; parts without
trials there keep the rows that these files had. The quick tests of all this are in
`tests/robustness`.

In reading order: `parts` lists the promises; `damaged_sound`, `positions`, `stopped`, `starved`,
`long_runs` test them; `bench` gives them a folder, sound and undisturbed runs; `jobs` are the
disturbed commands, which `commands` starts; `sources` makes whole files, `mutants` damages them,
`read_mutants` reads them; `soak` watches a process for hours; `run` is the command.
"""
