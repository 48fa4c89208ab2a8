"""The losses of the first steps, from the batches and the initial weights by plain loops."""

import numpy as np
import pytest

from audio_triplet import distribution, features
from audio_triplet.data import batching, shard_source
from audio_triplet.errors import ConfigError
from audio_triplet.training import checkpoints
from audio_triplet.training.trainer import Trainer
from tests.training.runs import combined, config_of, run


def embedded(encoder, batch):
    """Anchors and positives of a batch, float64[batch, dim] each."""
    return (
        encoder(features.log_mel(batch[name])).numpy().astype("f8")
        for name in ("anchor", "positive")
    )


def losses_by_hand(objective, a, p, batch, memory=()):
    """The losses of a batch's valid triplets by a plain loop; of contrastive ones two each.

    Args:
      objective: triplet or contrastive.
      a, p: [batch, dim].
      batch: As NumPy arrays.
      memory: (vector, recording) of anchors that are negatives too.
    """
    recording, drawn = batch["recording"], batch["drawn"]
    found = []
    for i in np.flatnonzero(batch["valid"]):
        others = [j for j in range(len(a)) if recording[j] != recording[i] and drawn[j]]
        old = [vector for vector, key in memory if key not in (recording[i], None)]
        if objective == "contrastive":
            keys = [key for j in others for key in (a[j], p[j])] + old
            for query, own in ((a[i], p[i]), (p[i], a[i])):
                exps = [np.exp(query @ key / 0.1) for key in (own, *keys)]
                found.append(-np.log(exps[0] / sum(exps)))
            continue
        to_positive = ((a[i] - p[i]) ** 2).sum()
        chosen = batch["negative"][i]  # a negative that the constraint itself names
        if chosen >= 0:
            to_negative = ((a[i] - a[chosen]) ** 2).sum()
        else:
            distances = [((a[i] - key) ** 2).sum() for key in [a[j] for j in others] + old]
            beyond = [distance for distance in distances if distance > to_positive]
            to_negative = min(beyond) if beyond else max(distances)
        found.append(max(0, to_positive - to_negative + 0.1))
    return found


@pytest.mark.slow
def test_first_loss_by_hand(prepared, tmp_path):
    """The first step's loss from the batch and the initial weights, by a plain loop."""
    config = config_of(1)
    trainer = Trainer(config, distribution.build_strategy("cpu"))
    source = shard_source.ShardChunks(prepared, ("train",))
    batches = batching.triplet_batches(source, config.triplets, config.pipeline)
    batch = next(batches.as_numpy_iterator())
    expected = losses_by_hand("triplet", *embedded(trainer.encoder, batch), batch)
    _, rows = run(config, prepared, tmp_path, Trainer)
    assert rows[0]["loss"] == pytest.approx(np.mean(expected), abs=1e-5)
    assert rows[0]["valid"] == pytest.approx(len(expected) / 8)


@pytest.mark.slow
def test_first_contrastive_loss_by_hand(prepared, tmp_path):
    """Each anchor and positive against all others of other recordings, by a plain loop."""
    config = combined(1)
    _, rows = run(config, prepared, tmp_path, Trainer)
    fresh = Trainer(config, distribution.build_strategy("cpu"))
    source = shard_source.ShardChunks(prepared, ("train",))
    batches = batching.triplet_batches(source, config.triplets, config.pipeline)
    seen = [batch["anchor"].numpy() for batch in batches.take(64)]
    log_mel = np.log(np.concatenate(seen).astype("f8") + 0.01)
    scaling = fresh.encoder.get_layer("scaling")
    scaling.offset.assign(log_mel.mean(axis=(0, 1)))
    scaling.scale.assign(1 / np.maximum(log_mel.std(axis=(0, 1)), 0.1))
    batch = next(batches.as_numpy_iterator())
    expected = losses_by_hand("contrastive", *embedded(fresh.encoder, batch), batch)
    np.testing.assert_allclose(rows[0]["loss"], np.mean(expected), rtol=1e-3)
    # Scaled once, before the first step, and kept by the checkpoint.
    again = checkpoints.load_encoder(str(tmp_path)).get_layer("scaling")
    np.testing.assert_allclose(again.offset, scaling.offset, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["triplet", "contrastive"])
def test_remembered_anchors_are_negatives_too(prepared, tmp_path, objective):
    """Three steps' losses by a plain loop over the batch and the 11 anchors before it."""
    config = config_of(3, objective=objective, memory=11, learning_rate=1e-30)  # weights stay
    trainer, rows = run(config, prepared, tmp_path, Trainer)
    source = shard_source.ShardChunks(prepared, ("train",))
    batches = batching.triplet_batches(source, config.triplets, config.pipeline)
    memory, used = [], 0
    for row, batch in zip(rows, batches.take(3).as_numpy_iterator(), strict=True):
        a, p = embedded(trainer.encoder, batch)
        expected = losses_by_hand(objective, a, p, batch, memory)
        used += sum(
            key not in (recording, None)
            for recording in batch["recording"][batch["valid"]]
            for _, key in memory
        )
        np.testing.assert_allclose(row["loss"], np.mean(expected), rtol=1e-4)
        keys = np.where(batch["drawn"], batch["recording"].astype(object), None)
        newest = list(zip(a, keys, strict=True))
        memory = [*newest, *memory][:11]
    assert used > 20  # the memory did matter


def test_labels_are_not_remembered():
    with pytest.raises(ConfigError, match="explicit triplets .* use memory=0"):
        config_of(1, "explicit", memory=8)
    with pytest.raises(ConfigError, match="memory=-1 is negative"):
        config_of(1, memory=-1)
