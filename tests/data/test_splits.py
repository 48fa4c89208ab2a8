"""Sides of a corpus, drawn or given, and how much of a kind it may hold."""

import hashlib

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_triplet.data.manifest import Manifest
from audio_triplet.data.splits import cap, split_by_recording, train_test
from audio_triplet.errors import ManifestError


def _manifest(**columns):
    return Manifest(pd.DataFrame(columns), name="test corpus")


def test_the_side_of_a_recording_is_the_hash_of_its_name():
    """Worked from the definition: first 8 bytes of BLAKE2b of "SEED\\0ID", below 0.2 · 2^64."""
    names = [f"r{number}" for number in range(50)]
    split = split_by_recording(_manifest(path=["/" + n for n in names], recording_id=names), 0.2, 7)
    for name, side in zip(names, split.frame["split"], strict=True):
        digest = hashlib.blake2b(b"7\0" + name.encode(), digest_size=8).digest()
        below = int.from_bytes(digest, "little") < 0.2 * 2**64
        assert side == ("test" if below else "train")


@settings(max_examples=25, deadline=None)
@given(
    owners=st.lists(st.integers(0, 30), min_size=2, max_size=80),
    seed=st.integers(0, 5),
    fraction=st.floats(0.05, 0.9),
)
def test_no_recording_on_both_sides_and_none_moves(owners, seed, fraction):
    whole = pd.DataFrame(
        {"path": [f"/{i}" for i in range(len(owners))], "recording_id": [f"r{o}" for o in owners]}
    )
    split = split_by_recording(Manifest(whole), fraction, seed).frame
    assert split.groupby("recording_id")["split"].nunique().max() == 1
    part = split_by_recording(Manifest(whole[::2]), fraction, seed).frame
    assert list(part["split"]) == list(split["split"][::2])
    more = split_by_recording(Manifest(whole), min(0.99, fraction + 0.3), seed).frame
    assert (more["split"][split["split"] == "test"] == "test").all()


def test_split_keeps_given_splits_and_meets_its_share():
    names = [f"/{number}" for number in range(20_000)]
    given_splits = ["validation"] * 100 + [""] * 19_900
    split = split_by_recording(_manifest(path=names, split=given_splits), 0.2).frame["split"]
    assert (split[:100] == "validation").all()
    # Binomial: standard deviation sqrt(0.2·0.8/19900) = 0.0028; five of them.
    assert abs((split[100:] == "test").mean() - 0.2) < 0.0142
    for fraction in (0, 1, -1, 2):
        with pytest.raises(ManifestError, match="between 0 and 1"):
            split_by_recording(_manifest(path=["/a"]), fraction)


@pytest.mark.parametrize(
    ("splits", "asked", "train", "test"),
    [
        (["train", "test"], (), ["train"], ["test"]),
        (["train", "validation", "test"], (), ["train", "validation"], ["test"]),
        (["train", "test", "unused"], (), ["train"], ["test"]),
        (["dev", "Test", "eval"], (), ["dev", "eval"], ["Test"]),
        (["balanced_train", "eval"], (), ["balanced_train"], ["eval"]),
        (["fold1", "fold2", "fold10"], (), ["fold1", "fold2"], ["fold10"]),
        (["1", "2", "3"], (), ["1", "2"], ["3"]),
        (["", "test"], (), [""], ["test"]),
        (["fold1", "fold2", "fold3"], ("fold1",), ["fold2", "fold3"], ["fold1"]),
        (["fold1", "fold2", "fold3"], "fold2", ["fold1", "fold3"], ["fold2"]),
        (["train", "test"], ("train",), ["test"], ["train"]),
    ],
)  # fmt: skip
def test_train_test_by_name(splits, asked, train, test):
    made = _manifest(path=[f"/{split}.wav" for split in splits], split=splits)
    got_train, got_test = train_test(made, asked)
    assert list(got_train.frame["split"]) == train
    assert list(got_test.frame["split"]) == test


@pytest.mark.parametrize(
    ("splits", "asked", "message"),
    [
        (["train", "dev"], (), r"none of its splits \(dev, train\)"),
        (["", "train"], (), r"none of its splits \(\(none\), train\)"),
        (["test", "unused"], (), "nothing is left to train on"),
        (["train", "test"], ("fold9",), "no split fold9; there are: test, train"),
        (["fold1"], (), "nothing is left to train on"),
    ],
)  # fmt: skip
def test_train_test_says_what_is_wrong(splits, asked, message):
    made = _manifest(path=[f"/{split}.wav" for split in splits], split=splits)
    with pytest.raises(ManifestError, match=message):
        train_test(made, asked)


def test_train_test_without_splits_draws_by_recording():
    names = [f"/{number}.wav" for number in range(200)]
    train, test = train_test(_manifest(path=names, recording_id=[n[:3] for n in names]))
    assert len(train) + len(test) == 200
    assert not set(train.frame["recording_id"]) & set(test.frame["recording_id"])
    with pytest.raises(ManifestError, match="too few recordings"):
        train_test(_manifest(path=["/one.wav"]))


def _kinds(**counts):
    names = [f"/{kind}/{number}" for kind, count in counts.items() for number in range(count)]
    return _manifest(path=names, kind=[name.split("/")[1] for name in names])


@pytest.mark.parametrize(
    ("counts", "shares", "expected"),
    [
        # 80 effects are 80 % once speech is 20 %: 20 of 100.
        ({"effect": 80, "speech": 500}, {"speech": 0.2}, {"effect": 80, "speech": 20}),
        ({"effect": 80, "speech": 10}, {"speech": 0.2}, {"effect": 80, "speech": 10}),
        ({"effect": 80, "speech": 500}, {"speech": 0}, {"effect": 80}),
        ({"effect": 80, "speech": 500}, {"speech": 1}, {"effect": 80, "speech": 500}),
        # 60 free; 0.1 + 0.3 bounded: total 100.
        (
            {"effect": 60, "speech": 500, "music": 500},
            {"speech": 0.1, "music": 0.3},
            {"effect": 60, "speech": 10, "music": 30},
        ),
        # 5 pieces of music are below their share, so they are free: total (60 + 5) / 0.9 = 72.2.
        (
            {"effect": 60, "speech": 500, "music": 5},
            {"speech": 0.1, "music": 0.3},
            {"effect": 60, "speech": 7, "music": 5},
        ),
        ({"effect": 3}, {"speech": 0.1}, {"effect": 3}),
    ],
)  # fmt: skip
def test_cap(counts, shares, expected):
    capped = cap(_kinds(**counts), shares)
    assert capped.frame["kind"].value_counts().to_dict() == expected
    total = sum(expected.values())
    assert all(expected.get(kind, 0) <= share * total + 1e-9 for kind, share in shares.items())


def test_cap_keeps_whole_recordings_and_follows_its_seed():
    names = [f"/{number}" for number in range(100)]
    made = _manifest(
        path=names,
        recording_id=[f"r{int(name[1:]) // 5}" for name in names],
        kind=["effect"] * 50 + ["speech"] * 50,
    )
    first, again, other = (
        cap(made, {"speech": 0.2}),
        cap(made, {"speech": 0.2}),
        cap(made, {"speech": 0.2}, seed=3),
    )
    assert list(first.frame["path"]) == list(again.frame["path"])
    assert list(first.frame["path"]) != list(other.frame["path"])
    # 10 recordings of effects, so 2 of speech (2 of 12 ≤ 0.2), each with its 5 segments.
    assert first.frame.query("kind == 'speech'").groupby("recording_id").size().tolist() == [5, 5]


def test_cap_refuses_shares_out_of_range_and_passes_without_kinds():
    with pytest.raises(ManifestError, match="between 0 and 1"):
        cap(_kinds(effect=1), {"effect": 1.5})
    with pytest.raises(ManifestError, match="no rows are left"):
        cap(_kinds(speech=5), {"speech": 0})
    made = _manifest(path=["/a"])
    assert cap(made, {"speech": 0}) is made
