from experiments.lib.table2 import cells


def test_time_left_by_hand():
    """Two of six cells took 10 s: four more take 20 s."""
    assert cells.seconds_left(10.0, 2, 6) == 20
