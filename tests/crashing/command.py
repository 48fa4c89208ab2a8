"""`python -m tests.crashing.command MODULE ARGUMENTS`: runs a command with the crashing decoder."""

import faulthandler
import os
import runpy
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import sitecustomize

assert sitecustomize.CRASHING_FRAMES
faulthandler.enable = lambda *_, **__: None  # its report of 100 lines
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
