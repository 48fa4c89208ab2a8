"""What the three share."""

import json
import os


def write_bad_files(bad_files, output_dir: str) -> None:
    path = os.path.join(output_dir, "bad_files.csv")
    if bad_files.entries:
        bad_files.write(path)
    elif os.path.exists(path):
        os.remove(path)


def write_json(path: str, content) -> None:
    with open(f"{path}.tmp", "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
    os.replace(f"{path}.tmp", path)
