"""Benchmarks: peers side by side in one run, medians of interleaved repeats, ratios printed."""
