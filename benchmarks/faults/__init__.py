"""What survives damage: kills, full disks, damaged files. `python -m benchmarks.faults`."""
