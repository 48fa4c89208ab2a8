"""The released embeddings, on generated files of exactly that form."""

import numpy as np
import pytest
import tensorflow as tf

from audio_triplet.evaluation.retrieval import query_by_example_map
from audio_triplet.manifest import train_test
from data_prep import CorpusError, audioset_embeddings

_LABELS = 'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/m/0k4j,"Car"\n2,/m/05z,"Male, man"\n'


def _serialised(video, labels, frames, start=30.0):
    """A record built from the published description, field by field."""
    example = tf.train.SequenceExample()
    context = example.context.feature
    context["video_id"].bytes_list.value.append(video.encode())
    context["start_time_seconds"].float_list.value.append(start)
    context["end_time_seconds"].float_list.value.append(start + 10)
    context["labels"].int64_list.value.extend(labels)
    seconds = example.feature_lists.feature_list["audio_embedding"].feature
    for frame in frames:
        seconds.add().bytes_list.value.append(bytes(bytearray(frame)))
    return example.SerializeToString()


def _write(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def _frames(seed, seconds=10):
    return np.random.default_rng(seed).integers(0, 256, (seconds, 128), dtype=np.uint8)


@pytest.fixture
def archive(tmp_path):
    """bal_train of two files, eval of one, with a segment of 7 s."""
    root = tmp_path / "audioset_v1_embeddings"
    first = [
        _serialised("-0RWZT-miFs", [1], _frames(0)),
        _serialised("-0aaaaaaaaa", [0, 2], _frames(1)),
    ]
    _write(root / "bal_train" / "-0.tfrecord", first)
    _write(root / "bal_train" / "zz.tfrecord", [_serialised("zzaaaaaaaaa", [0], _frames(2, 7))])
    _write(root / "eval" / "00.tfrecord", [_serialised("00aaaaaaaaa", [1], _frames(3))])
    (tmp_path / "class_labels_indices.csv").write_text(_LABELS)
    return str(root), str(tmp_path / "class_labels_indices.csv")


def test_segments_and_their_means(archive):
    made = audioset_embeddings.load(*archive)
    frame = made.manifest.frame
    assert list(frame["recording_id"]) == [
        "-0RWZT-miFs", "-0aaaaaaaaa", "zzaaaaaaaaa", "00aaaaaaaaa",
    ]  # fmt: skip
    assert list(frame["labels"]) == ["Car", "Speech;Male, man", "Speech", "Car"]
    assert list(frame["split"]) == ["train", "train", "train", "eval"]
    assert list(frame["start_seconds"]) == [30] * 4 and list(frame["end_seconds"]) == [40] * 4
    assert np.bincount(made.patch_segment).tolist() == [10, 10, 7, 10]
    for number, seconds in enumerate((10, 10, 7, 10)):
        expected = (_frames(number, seconds).astype(np.float64) * 4 / 255 - 2).mean(axis=0)
        np.testing.assert_allclose(made.segment[number], expected, atol=1e-6)
    # No second counts as silent.
    np.testing.assert_array_equal(made.audible_segment(1e-3), made.segment)


def test_quantisation_is_undone():
    """VGGish stored uint8((clip(x, −2, 2) + 2) · 255 / 4): the inverse is within one step."""
    x = np.linspace(-3, 3, 601)
    clipped = np.clip(x, -2, 2)
    stored = ((clipped + 2) * (255.0 / 4)).astype(np.uint8)
    back = audioset_embeddings.dequantise(stored)
    assert back.dtype == np.float32
    assert np.abs(back - clipped).max() <= 4 / 255 + 1e-6
    assert (back.min(), back.max()) == (-2, 2)


def test_goes_through_the_evaluation(archive):
    made = audioset_embeddings.load(*archive)
    train, test = train_test(made.manifest)
    assert (len(train), len(test)) == (3, 1)
    labels = made.manifest.label_matrix(["Car", "Speech"])
    result = query_by_example_map(made.segment, labels)
    assert 0 < result.mean <= 1


def test_parts(archive):
    made = audioset_embeddings.load(*archive, parts=("eval",))
    assert list(made.manifest.frame["split"]) == ["eval"]
    with pytest.raises(CorpusError, match=r"unbal_train: no \*.tfrecord there; unpack features"):
        audioset_embeddings.load(*archive, parts=("unbal_train",))
    with pytest.raises(ValueError, match="'train' is none of unbal_train, bal_train, eval"):
        audioset_embeddings.load(*archive, parts=("train",))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"\xff\xff\xff", r"record 1: not a released AudioSet embedding"),
        (tf.train.Example().SerializeToString(), r"record 1: not a released AudioSet embedding"),
        (
            _serialised("bbbbbbbbbbb", [0], np.zeros((10, 64), np.uint8)),
            "record 1: .*no audio_embedding of 128 bytes a second",
        ),
        (_serialised("bbbbbbbbbbb", [0], []), "record 1: .*no audio_embedding"),
        (_serialised("bbbbbbbbbbb", [3], _frames(9)), "label 3 of bbbbbbbbbbb is not in .*0 … 2"),
    ],
)
def test_other_records(archive, tmp_path, record, message):
    path = tmp_path / "audioset_v1_embeddings" / "eval" / "00.tfrecord"
    _write(path, [_serialised("00aaaaaaaaa", [1], _frames(3)), record])
    with pytest.raises(CorpusError, match=message):
        audioset_embeddings.load(*archive)


@pytest.mark.parametrize("damage", ["flip", "cut", "text"])
def test_damaged_files(archive, tmp_path, damage):
    path = tmp_path / "audioset_v1_embeddings" / "eval" / "00.tfrecord"
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[300] ^= 1
    path.write_bytes({"flip": data, "cut": data[:-20], "text": b"not a record at all"}[damage])
    with pytest.raises(CorpusError, match=r"00.tfrecord, record 0: cannot be read .*copy it anew"):
        audioset_embeddings.load(*archive)
