"""The encoder for one patch at a time."""

import numpy as np
import pytest

from audio_triplet.embeddings import encoder_file
from audio_triplet.embeddings.quick_model import ENCODER_FILE, EncoderOrigin
from audio_triplet.errors import DeploymentError
from audio_triplet.publish.browser_encoder import for_browsers


def _interpreter(content):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is missing")
    found = interpreter.Interpreter(model_content=content)
    found.allocate_tensors()
    return found


def test_shapes_are_closed_and_embeddings_stay(small_model):
    path = f"{small_model.path}/{ENCODER_FILE}"
    with open(path, "rb") as file:
        content = file.read(EncoderOrigin.read(path).size)
    patch = encoder_file.real_like_patches()[3:4]
    found = []
    for model in (content, for_browsers(content)):
        interpreter = _interpreter(model)
        (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.set_tensor(given["index"], patch)
        interpreter.invoke()
        kinds = {operator["op_name"] for operator in interpreter._get_ops_details()}
        found.append(
            (given["shape_signature"].tolist(), interpreter.get_tensor(made["index"]), kinds)
        )
    (opened, before, all_kinds), (closed, after, kinds) = found
    assert opened == [-1, 96, 64] and closed == [1, 96, 64]
    assert all_kinds - kinds == {"SHAPE", "STRIDED_SLICE", "PACK", "L2_NORMALIZATION"}
    np.testing.assert_allclose(after / np.linalg.norm(after), before, rtol=1e-5, atol=1e-7)
    assert for_browsers(for_browsers(content)) == for_browsers(content)


def test_something_else_is_refused():
    with pytest.raises(DeploymentError):
        for_browsers(b"\x1c\x00\x00\x00TFL3")
    with pytest.raises(DeploymentError):
        for_browsers(b"PK\x03\x04 no model")
