"""Training and test segments: by published splits, folds, or recordings."""

import hashlib
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from audio_triplet.data.manifest import Manifest
from audio_triplet.data.manifest_csv import TEST, TRAIN, UNLABELLED, UNUSED, check_leakage, listed
from audio_triplet.errors import ManifestError

_EVALUATION_NAMES = ("eval", "evaluation")
_FOLD = re.compile(r"(?:fold)?[ _-]?(\d+)", re.IGNORECASE)


def split_by_recording(manifest: Manifest, fraction: float = 0.2, seed: int = 0) -> Manifest:
    """Gives every row without a split to "train" or "test", whole recordings at a time.

    The side depends on (seed, recording_id) alone, never on the other rows: adding files to a
    corpus moves no recording, and a larger `fraction` only adds to the test side. The price is
    that the shares are met on average only [D].

    Args:
      manifest: rows that have a split keep it.
      fraction: expected share of the recordings on the test side, between 0 and 1.
      seed: another seed, another split.

    Returns:
      The manifest without empty splits.

    Raises:
      ManifestError: fraction out of range, or one file in recordings of both sides.
    """
    if not 0 < fraction < 1:
        raise ManifestError(f"{manifest.name}: fraction must lie between 0 and 1, not {fraction}")
    frame = manifest.frame.copy()
    empty = (frame["split"] == "").to_numpy()
    if not empty.any():
        return manifest
    codes, recordings = pd.factorize(frame["recording_id"])
    side = np.where(_uniform(recordings, seed) < fraction, TEST, TRAIN)[codes]
    frame["split"] = pd.Series(np.where(empty, side, frame["split"]), dtype=object).astype(str)
    check_leakage(frame, manifest.name, lambda row: f"row {row}")
    return Manifest.of_checked(frame, manifest.name)


def train_test(manifest: Manifest, test_splits: Sequence[str] = ()) -> tuple[Manifest, Manifest]:
    """The two sides of an experiment.

    The test side is, in this order: `test_splits` if given; the split "test"; "eval" or
    "evaluation"; of numbered folds ("fold1" … or "1" …) the last; and where no row has a split,
    what `split_by_recording` draws. Everything else is the training side, validation and
    development splits and "unlabelled" too, but for the split "unused", which is on neither.

    Args:
      manifest: the whole corpus.
      test_splits: names of the test splits.

    Returns:
      (train, test).

    Raises:
      ManifestError: a named split does not occur, none can be chosen, or a side is empty.
    """
    test_splits = (test_splits,) if isinstance(test_splits, str) else tuple(test_splits)
    if not test_splits and manifest.splits == ("",):
        manifest = split_by_recording(manifest)
        if manifest.splits != (TEST, TRAIN):
            raise ManifestError(
                f"{manifest.name}: too few recordings ({manifest.recordings}) to draw a test side; "
                "fill the split column, or use split_by_recording with another seed or fraction"
            )
    test_splits = test_splits or _default_test_splits(manifest)
    test = manifest.select(test_splits)
    train_splits = [split for split in manifest.splits if split not in (*test_splits, UNUSED)]
    if not train_splits:
        raise ManifestError(
            f"{manifest.name}: nothing is left to train on besides {listed(test_splits)}; "
            f"the splits are: {listed(manifest.splits)}"
        )
    return manifest.select(train_splits), test


def cap(manifest: Manifest, max_share: Mapping[str, float], seed: int = 0) -> Manifest:
    """Leaves out recordings of some kinds until each has at most its share of the recordings.

    Shares are of recordings, because training draws by recording [D]. Which recordings stay
    depends on (seed, recording_id). A manifest without the column `kind` is returned as it is.

    Args:
      manifest: with a column `kind` (for instance "speech", "music", "effect").
      max_share: kind → greatest share of all recordings kept, 0 = leave out, 1 = no bound.
      seed: another seed keeps other recordings.

    Returns:
      The rows that stay, in their order.

    Raises:
      ManifestError: a share is not within 0 … 1, or nothing is left.
    """
    wrong = {kind: share for kind, share in max_share.items() if not 0 <= share <= 1}
    if wrong:
        raise ManifestError(f"{manifest.name}: shares must lie between 0 and 1: {wrong}")
    if "kind" not in manifest.frame:
        return manifest
    pairs = manifest.frame[["kind", "recording_id"]].drop_duplicates()
    counts = pairs["kind"].value_counts().to_dict()
    allowed = _capped_counts(counts, max_share)
    keep = np.ones(len(manifest), dtype=bool)
    for kind, count in allowed.items():
        recordings = pairs.loc[pairs["kind"] == kind, "recording_id"].to_numpy(dtype=object)
        kept = recordings[np.argsort(_uniform(recordings, seed), kind="stable")[:count]]
        of_kind = (manifest.frame["kind"] == kind).to_numpy()
        keep &= ~of_kind | manifest.frame["recording_id"].isin(kept).to_numpy()
    return manifest.where(keep)


def _capped_counts(counts: Mapping[str, int], max_share: Mapping[str, float]) -> dict[str, int]:
    """How many recordings of each bounded kind may stay (kind → number).

    With U recordings of unbounded kinds and shares s_k, the total is U / (1 − Σ s_k). A kind that
    has fewer recordings than its share of it is not bounded after all, and counts to U.
    """
    bounded = {kind: share for kind, share in max_share.items() if share < 1 and kind in counts}
    while bounded:
        free = sum(count for kind, count in counts.items() if kind not in bounded)
        rest = 1 - sum(bounded.values())
        # The 1e-9 keeps 0.2 of 10 at 2 in spite of binary fractions.
        total = free / rest if rest > 1e-9 else (np.inf if free else 0)
        slack = [k for k, share in bounded.items() if share and counts[k] <= share * total + 1e-9]
        if not slack:
            return {kind: int(share * total + 1e-9) for kind, share in bounded.items()}
        for kind in slack:
            del bounded[kind]
    return {}


def _default_test_splits(manifest: Manifest) -> tuple[str, ...]:
    """The test split of a manifest that has splits, by its name."""
    named = [split for split in manifest.splits if split not in ("", UNUSED, UNLABELLED)]
    for wanted in ((TEST,), _EVALUATION_NAMES):
        found = tuple(split for split in named if split.lower() in wanted)
        if found:
            return found
    folds = [(int(match[1]), split) for split in named if (match := _FOLD.fullmatch(split))]
    if folds and len(folds) == len(named):
        return (max(folds)[1],)
    raise ManifestError(
        f"{manifest.name}: none of its splits ({listed(manifest.splits)}) is called test, eval "
        "or evaluation, or is a numbered fold; name the test splits, or leave the column empty"
    )


def _uniform(recordings: Sequence[str], seed: int) -> np.ndarray:
    """One number in [0, 1) per recording, from (seed, recording_id) alone: float64[recordings].

    BLAKE2 rather than pandas' or Python's hash, so that a split outlives every version of both.
    """
    prefix = f"{seed}\0".encode()
    digests = b"".join(
        hashlib.blake2b(prefix + recording.encode("utf-8"), digest_size=8).digest()
        for recording in recordings
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.float64) / 2.0**64
