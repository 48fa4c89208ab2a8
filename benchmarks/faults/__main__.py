"""`python -m benchmarks.faults`."""

from absl import app

from benchmarks.faults.run import define_flags, main

if __name__ == "__main__":
    define_flags()
    app.run(main)
