"""Work on all cores of a machine, or on a cluster, by Apache Beam (extras `[beam]`, `[dask]`).

In: names of jobs, and a function of Beam that does one of them. Only names pass through a pipeline:
a worker reads what its job is from a folder that all share, and writes what it made there. So a
job that two workers were given, or that was begun and killed, does no harm.

In reading order:

    runners.py   Beam's engines by name, their flags, and what each needs
    checks.py    before anything runs: does every worker see the folder, and has it this program?
    running.py   running jobs by a pipeline, and counting those that are done
"""
