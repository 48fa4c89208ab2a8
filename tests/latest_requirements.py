"""Prints the requirements that setup.py has for Python 3.13, whichever Python runs this.

On Python 3.13 and later the markers in setup.py pick the newest TensorFlow and leave
tensorflow-io out; this lets an older Python run the tests against the same set.
"""

import runpy
from pathlib import Path
from unittest import mock

from packaging.requirements import Requirement

SETUP = Path(__file__).parent.parent / "setup.py"


def requirements(python_version: str = "3.13") -> list[str]:
    with mock.patch("setuptools.setup") as setup:
        runpy.run_path(str(SETUP))
    arguments = setup.call_args.kwargs
    lines = [*arguments["install_requires"], *arguments["extras_require"]["dev"]]
    parsed = [Requirement(line) for line in lines]
    environment = {"python_version": python_version}
    return [
        f"{one.name}{one.specifier}"
        for one in parsed
        if one.marker is None or one.marker.evaluate(environment)
    ]


if __name__ == "__main__":
    print("\n".join(requirements()))
