"""Semi-hard mining: time and memory of loss and gradient, tiled against all pairs at once.

    python -m benchmarks.mining

Embeddings are random unit vectors of 128 numbers, a fifth of the positives nearer than the rest.
Memory is the growth of a fresh process's peak over what it had before mining, everything that is
made on the way included: `allowed`, too, which at 16k × 16k is 0.27 GB.
"""

from benchmarks import harness

_DIMENSIONS = 128
_WAYS = {"tiled": None, "all at once": 2**62}
"""Name → pairs in a tile; None: the library's own choice."""


def measure() -> list[harness.Table]:
    """Time and memory of mining at 1k, 4k and 16k candidates."""
    speed = harness.Table("Mining, time", "semi-hard choice, loss and gradient, all cores")
    taken = {}
    for size in (1024, 4096):
        calls = {name: prepared(size, tile) for name, tile in _WAYS.items()}
        taken[size] = harness.interleaved(calls, harness.repeats())
        for name, measurement in taken[size].items():
            speed.add(
                f"{name}, {size:,} × {size:,}",
                1e3 * measurement.median,
                "ms",
                more={"ns a pair": 1e9 * measurement.median / size**2},
                ours=None
                if name == "tiled"
                else taken[size]["tiled"].times_as_fast_as(measurement),
            )
        speed.goal(
            f"tiled, of the speed of all at once, at {size:,}",
            taken[size]["tiled"].times_as_fast_as(taken[size]["all at once"]),
            0.9,
        )

    memory = harness.Table("Mining, memory", "growth of the peak, each in a process of its own")
    answers = {}
    for size, ways in ((4096, _WAYS), (16384, ("tiled",))):
        for name in ways:
            answer, _ = harness.in_child(
                "benchmarks.mining:peak_growth", size=size, tile=_WAYS[name]
            )
            answers[name, size] = answer
            memory.add(
                f"{name}, {size:,} × {size:,}",
                answer["gigabytes"],
                "GB",
                more={"seconds": answer["seconds"], "ns a pair": answer["seconds"] * 1e9 / size**2},
            )
    same = [answers[name, 4096]["checks"] for name in _WAYS]
    apart = max(abs(mine - theirs) / abs(theirs) for mine, theirs in zip(*same, strict=True))
    memory.goal("tiled at 16,384 candidates, GB", answers["tiled", 16384]["gigabytes"], 1.0, True)
    memory.goal("loss and gradient apart from all at once, relative", apart, 1e-5, True)
    return [speed, memory]


def prepared(size: int, tile: int | None):
    """A function that mines, and returns the mean loss and the gradients' norms.

    Args:
      size: Anchors, and candidates.
      tile: Pairs in a tile; the library's own choice if None.
    """
    import numpy as np
    import tensorflow as tf

    from audio_triplet import losses, mining

    random = np.random.default_rng(0)
    anchor, other = random.normal(size=(2, size, _DIMENSIONS)).astype("f4")
    positive = anchor + other * np.where(np.arange(size) % 5, 0.5, 2.0)[:, None]
    anchor, positive = (
        tf.constant(x / np.linalg.norm(x, axis=1, keepdims=True), tf.float32)
        for x in (anchor, positive)
    )
    recording = tf.range(size) // 2  # two patches of each

    @tf.function(autograph=False)
    def loss_and_gradient(anchor, positive):
        with tf.GradientTape() as tape:
            tape.watch((anchor, positive))
            allowed = recording[:, None] != recording[None, :]
            index = mining.semi_hard_negatives(anchor, positive, anchor, allowed)
            loss = losses.triplet_loss(anchor, positive, tf.gather(anchor, index))
            mean = tf.reduce_mean(loss)
        return [mean, *map(tf.norm, tape.gradient(mean, (anchor, positive)))]

    own, mining._TILE = mining._TILE, tile or mining._TILE
    try:
        traced = loss_and_gradient.get_concrete_function(anchor, positive)
    finally:
        mining._TILE = own
    return lambda: [float(value) for value in traced(anchor, positive)]


def peak_growth(size: int, tile: int | None) -> dict:
    """Growth of this process's peak memory by mining, in GB; run it in a fresh process."""
    import time

    prepared(256, tile)()  # so that libraries are loaded before
    before = harness.peak_gigabytes()
    call = prepared(size, tile)
    checks = call()
    begin = time.perf_counter()
    call()
    return {
        "gigabytes": harness.peak_gigabytes() - before,
        "checks": checks,
        "seconds": time.perf_counter() - begin,
    }


if __name__ == "__main__":
    harness.main(measure)
