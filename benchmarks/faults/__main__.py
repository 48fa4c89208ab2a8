"""`python -m benchmarks.faults`."""

from absl import app

from benchmarks import faults
from benchmarks.faults.run import define_flags, main

__doc__ = faults.__doc__  # for --help

if __name__ == "__main__":
    define_flags()
    app.run(main)
