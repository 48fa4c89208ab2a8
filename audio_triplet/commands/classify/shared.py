"""What the three share."""

import os


def write_bad_files(bad_files, output_dir: str) -> None:
    path = os.path.join(output_dir, "bad_files.csv")
    if bad_files.entries:
        bad_files.write(path)
    elif os.path.exists(path):
        os.remove(path)
