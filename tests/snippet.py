"""Runs code that a test holds as text, in a process that need not import TensorFlow.

commands.start("tests.snippet", [CODE, *ARGUMENTS], LOG)
"""

import sys

if __name__ == "__main__":
    code = sys.argv[1]
    del sys.argv[1]
    exec(compile(code, "snippet", "exec"), {"__name__": "__main__"})
