"""Counting by a sample: what is drawn, what counts, and what the scores are worth."""

import numpy as np
import pytest
from sklearn import metrics

from audio_triplet.browse.counting import Count, Counts
from audio_triplet.browse.routes.counting import precision_recall
from audio_triplet.browse.session import Session
from audio_triplet.classify import estimate as estimating
from audio_triplet.errors import BrowseError


@pytest.fixture
def archive(session):
    return session.archives.now()


@pytest.fixture
def scores(archive):
    return np.random.default_rng(3).random(len(archive)).astype(np.float32)


def answered(sample, label: str, value) -> dict:
    return {one.moment.key: {label: value(one)} for one in sample}


def test_strata_hold_each_moment_once_and_are_drawn_evenly(archive, scores):
    count = Count.begin("dog", archive, scores)
    everything = [tuple(member) for part in count.members for member in part]
    assert len(everything) == len(set(everything)) == count.sizes.sum() == len(archive)
    tops = [max(member[3] for member in part) for part in count.members]
    lows = [min(member[3] for member in part) for part in count.members]
    assert all(top <= low for top, low in zip(tops[:-1], lows[1:], strict=True))
    asked = count.ask_more([], 2 * len(count.sizes))
    assert asked.drawn.tolist() == [2] * len(count.sizes)
    assert [one.stratum for one in asked.sample({})] == [*reversed(range(len(count.sizes)))] * 2


def test_answers_count_when_the_lot_comes_to_them_and_not_before(archive, scores):
    count = Count.begin("dog", archive, scores).ask_more([], 2)
    everything = {
        (path, round(1000 * start), round(1000 * end)): {"dog": True}
        for part in count.members
        for path, start, end, _ in part
    }
    sample = count.sample(everything)
    assert len(sample) == 2 and all(one.value for one in sample)
    assert count.estimate(sample).answered == 2


def test_the_estimate_is_that_of_classify(archive, scores):
    count = Count.begin("dog", archive, scores).ask_more([], 9)
    known = answered(count.sample({}), "dog", lambda one: one.score > 0.6)
    sample = count.sample(known)
    heard = np.bincount([one.stratum for one in sample], minlength=len(count.sizes))
    yes = np.bincount(
        [one.stratum for one in sample if one.score > 0.6], minlength=len(count.sizes)
    )
    expected = estimating.estimate(count.sizes, heard, yes)
    assert count.estimate(sample) == expected
    course = count.course(sample, {one.moment.key: str(n) for n, one in enumerate(sample)})
    assert course[-1][0] == 9 and course[-1][1].share == expected.share


def test_not_sure_is_heard_and_counts_for_nothing(archive, scores):
    count = Count.begin("dog", archive, scores).ask_more([], 4)
    sample = count.sample(answered(count.sample({}), "dog", lambda one: None))
    assert all(one.is_answered for one in sample) and count.estimate(sample).answered == 0


def test_moments_at_least_as_sure(archive, scores):
    count = Count.begin("dog", archive, scores)
    for threshold in (0.0, 0.3, float(scores[4]), 0.77, 1.1):
        assert count.at_least(threshold).sum() == (scores >= threshold).sum()
    asked = count.ask_more([], len(archive))
    sample = asked.sample(answered(asked.sample({}), "dog", lambda one: one.score > 0.8))
    found = asked.precision_at(sample, 0.5)  # everything was heard: it is known
    expected = (scores > 0.8).sum() / (scores >= 0.5).sum()
    assert found.share == pytest.approx(expected) and found.interval.low == pytest.approx(expected)
    assert asked.precision_at(sample, 1.1) is None


def test_a_count_goes_on_another_day(archive, scores, tmp_path):
    counts = Counts(str(tmp_path / "labels.sqlite"))
    assert counts.of("犬; \udc80") is None
    count = Count.begin("犬; \udc80", archive, scores).ask_more([], 5)
    counts.keep(count)
    again = Counts(str(tmp_path / "labels.sqlite")).of("犬; \udc80")
    assert again.sample({}) == count.sample({}) and again.as_json() == count.as_json()
    (file,) = (tmp_path / "labels.counts").iterdir()
    file.write_text("{}")
    with pytest.raises(BrowseError, match="is damaged"):
        counts.of("犬; \udc80")


def test_precision_and_recall_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    scores, yes = rng.integers(0, 12, 60) / 12, rng.random(60) < 0.4
    weights = rng.random(60)
    points = precision_recall(
        np.append(scores, np.nan), np.append(yes, True), np.append(weights, 9)
    )
    precision, recall, at = metrics.precision_recall_curve(yes, scores, sample_weight=weights)
    for found_recall, found_precision, score in points:
        (place,) = np.flatnonzero(at == score)
        assert (found_precision, found_recall) == pytest.approx((precision[place], recall[place]))
    assert precision_recall(scores, np.zeros(60, bool), weights) == []


def answer(client, moments, is_yes):
    labels = [one | {"label": "low", "value": bool(is_yes(one))} for one in moments]
    assert client.post("/api/labels", json={"labels": labels}).status_code == 200


def test_the_api(client, moments, session):
    assert client.get("/api/count?label=low").json() == {"label": "low", "begun": ""}
    assert client.post("/api/count", json={"label": "low"}).status_code == 409  # no yes yet
    assert client.get("/api/quality?label=low").status_code == 409
    is_low = lambda one: "/low/" in one["path"]  # noqa: E731
    first = [one for one in moments if one["start_seconds"] == 0]
    answer(client, first, is_low)
    found = client.post("/api/count", json={"label": "low", "more": 6}).json()
    assert found["asked"] == 6 and found["moments"] == len(moments) and found["is_current"]
    assert found["answered"] + len(found["ask"]) == 6
    answer(client, found["ask"], is_low)
    found = client.get("/api/count?label=low").json()
    assert found["answered"] == 6 and found["ask"] == [] and found["course"][-1]["answers"] == 6
    low, high = found["interval"]
    assert low <= sum(map(is_low, moments)) / len(moments) <= high
    more = client.post("/api/count", json={"label": "low", "more": 500}).json()
    assert more["asked"] == len(moments)
    answer(client, more["ask"], is_low)
    found = client.get("/api/count?label=low").json()
    assert found["share"] == pytest.approx(sum(map(is_low, moments)) / len(moments))
    quality = client.get("/api/quality?label=low&precision=0.8").json()
    assert quality["curve"][-1][0] == quality["sample"]["curve"][-1][0] == 1
    assert sum(one["count"] for one in quality["reliability"]) == len(moments)
    assert quality["sample"]["answered"] == len(moments)
    anew = client.post("/api/count", json={"label": "low", "again": True, "more": 0}).json()
    assert anew["asked"] == 0 and anew["answered"] == 0
    other = Session(session.folder, session.labels.path, None, "bob")
    assert other.counts.of("low").begun == anew["begun"]
    other.close()


def test_a_fit_that_may_not_be(client, moments):
    assert client.get("/api/fit?label=low").status_code == 409
    nothing = {"label": "low", "yes": 0, "held_out": None}
    assert client.get("/api/fit?label=low&if_any=true").json() == nothing
    answer(client, moments[:1], lambda one: True)
    assert client.get("/api/fit?label=low&if_any=true").json()["yes"] == 1
