"""The first look at all vectors, by WebAssembly in Node, against NumPy's."""

import numpy as np
import pytest

from audio_triplet.publish.archive import eight_bits
from tests.publish import node


def _unit(random, count, dim):
    found = random.normal(size=(count, dim)).astype("f4")
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize(("dim", "rows"), [(16, 1), (130, 70)])
def test_likenesses_to_eight_bits_are_products(tmp_path, dim, rows):
    """Any number of rows and of dimensions; the last row is a single 1, which fills 16 bits."""
    random = np.random.default_rng(dim)
    codes, scales = eight_bits(_unit(random, 50, dim))
    asked = _unit(random, rows, dim)
    asked[-1] = np.arange(dim) == dim - 1
    code = """
    const {rows, dim} = given, every = Array.from({length: rows}, (_, n) => n * dim);
    const products = new it.Products(Int8Array.from(codes), scales, dim);
    const score = products.scorer(every.map((from) => asked.subarray(from, from + dim)));
    return score(3, 50).slice(0, 47 * rows);"""
    arrays = {"codes": codes, "scales": scales, "asked": asked}
    given = {"dim": dim, "rows": rows}
    found = node.run(tmp_path, "products.js", code, given, **arrays).reshape(47, rows)
    expected = (codes[3:] * scales[3:, None].astype("f8")) @ asked.T
    # Half a step of 16 bits in each dimension, and float32's last digit.
    np.testing.assert_allclose(found, expected, atol=0.5 / 32767 * np.sqrt(dim) + 1e-6)


def test_sums_stay_in_32_bits(tmp_path):
    dim = 1040  # 127 · 32767 · 1040 would be twice as much as fits
    code = """
    const products = new it.Products(Int8Array.from(codes), scales, given);
    return products.scorer([asked])(0, 1).slice(0, 1);"""
    ones = np.full(dim, dim**-0.5, "f4")
    arrays = {"codes": np.full(dim, 127), "scales": [dim**-0.5 / 127], "asked": ones}
    found = node.run(tmp_path, "products.js", code, dim, **arrays)
    np.testing.assert_allclose(found, [1.0], atol=1e-4)


def test_the_best_come_first_without_sorting_all(tmp_path):
    random = np.random.default_rng(4)
    values = np.round(random.uniform(-1, 1, 6000), 2).astype("f4")  # many are equal
    values[::7] = -4  # never
    values[5] = 1e6  # leaves one bin for all others
    found = node.run(tmp_path, "question.js", "return it.descending(values);", values=values)
    expected = np.argsort(-values, kind="stable")
    assert found.tolist() == [n for n in expected.tolist() if values[n] > -4]
