import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `bench` is not installed")

from audio_triplet import models  # noqa: E402
from benchmarks import front_end, torch_twin, training_step  # noqa: E402


@pytest.mark.parametrize("architecture", ["vggish", "resnet50"])
def test_twins_are_equal_and_learn(architecture):
    encoder = models.build_encoder(architecture, 16, width=0.0625)
    twin = torch_twin.twin(encoder, architecture, 0.0625)  # checks their outputs
    rng = np.random.default_rng(0)
    anchor, positive = (
        torch.from_numpy(rng.gamma(0.5, size=(4, 96, 64)).astype("f4")) for _ in range(2)
    )
    step = torch_twin.Step(twin, bfloat16=False, compiled=False)
    losses = [step(anchor, positive) for _ in range(8)]
    assert np.isfinite(losses).all() and min(losses[1:]) < losses[0]


def test_another_network_is_no_twin():
    with pytest.raises(ValueError, match="numbers of parameters"):
        torch_twin.twin(models.build_encoder(width=0.125), "vggish", 0.0625)


def test_operations_of_a_step():
    # Positions × kernel × channels in and out, multiplied and added, of each convolution.
    forward = [
        96 * 64 * 9 * 1 * 8,
        48 * 32 * 9 * 8 * 16,
        24 * 16 * 9 * 16 * 32,
        24 * 16 * 9 * 32 * 32,
        12 * 8 * 9 * 32 * 64,
        12 * 8 * 9 * 64 * 64,
        64 * 128,
    ]
    encoder = models.build_encoder("vggish", width=0.125)
    # Forward, gradient of the weights, and of the input, which the first needs not.
    assert training_step.training_flops(encoder) == 2 * (3 * sum(forward) - forward[0])


def test_peers_compute_the_same_front_end():
    clips = np.random.default_rng(0).normal(size=(2, 8000)).astype("f4")
    expected = np.stack([front_end.twin(clip) for clip in clips])
    for peer in (front_end.by_torch, front_end.by_torch_stft):
        energies = peer(clips)
        np.testing.assert_allclose(energies, expected[:, : energies.shape[1]], rtol=1e-4, atol=1e-4)
        assert energies.shape[1] >= expected.shape[1] - 1
