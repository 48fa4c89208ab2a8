"""Preparing, feeding and training at scale: estimates for two million clips.

    python -m benchmarks.scaling --corpus=esc50:DIR --output_dir=results

Ten-second clips at 44.1 kHz in FLAC are cut from the recordings of --corpus, which are joined in
random order. A module for each measurement:

`preparing`: preparing them by the command on one core and on two (clips/s by the clock and by the
processors' own time, memory, the same bytes). `kills`: the same set prepared under random kill -9.
`shards`: their bytes, and the share of a training step's time that reading takes. `losses`: on 1, 2
and 4 replicas and on two processes over loopback. `large_manifest`: one of two million rows. Below
them `settings`, `clips` (making and preparing clips) and `watched` (a command, measured).
"""
