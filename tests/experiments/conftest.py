import os

import pytest


@pytest.fixture(scope="module")
def folds(tone_folder, tmp_path_factory):
    """The tones as a corpus of two folds."""
    rows = [
        f"{os.path.join(tone_folder, label, f'{label}{n}.wav')},{label},fold{1 + n % 2}"
        for label in ("low", "middle", "high")
        for n in range(6)
    ]
    path = tmp_path_factory.mktemp("folds") / "folds.csv"
    path.write_text("path,labels,split\n" + "\n".join(rows))
    return f"manifest:{path}"
