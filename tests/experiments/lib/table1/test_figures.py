from experiments.lib.table1 import figures as table1_figures


def test_classes_are_drawn_up_to_a_number(tmp_path, monkeypatch):
    """Of many classes those with the largest gains and losses; classes without a figure are left
    out."""
    names = [f"class {number}" for number in range(9)]
    values = {name: None if number == 4 else number / 10 for number, name in enumerate(names)}
    rows = [
        {"name": name, "qbe_per_class": by_class, "cls_per_class": by_class}
        for name, by_class in (("log_mel", dict.fromkeys(names, 0.35)), ("joint", values))
    ]
    monkeypatch.setattr(table1_figures, "MAX_CLASSES", 4)
    table1_figures.draw_classes({"rows": rows}, str(tmp_path / "classes.png"))
    assert (tmp_path / "classes.png").read_bytes()[:4] == b"\x89PNG"
