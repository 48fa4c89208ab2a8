import pytest
from PIL import Image

from experiments.lib.table1 import figures


@pytest.mark.parametrize("known", [("qbe_map", "cls_map", "probe_accuracy"), ("qbe_map",), ()])
def test_scores_that_are_nowhere_are_not_drawn(tmp_path, known):
    scores = ("qbe_map", "cls_map", "probe_accuracy")
    values = {score: 0.4 if score in known else None for score in scores}
    row = {"name": "joint", "spread": dict.fromkeys(scores), **values}
    path = tmp_path / "table1.png"
    figures.draw({"rows": [row], "chance": dict.fromkeys(scores)}, str(path))
    with Image.open(path) as image:
        width, height = image.size
    assert width > height * max(1, len(known)) > 0
