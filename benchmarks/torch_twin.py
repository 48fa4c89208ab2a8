"""The encoders and their training step in PyTorch, layer by layer, for comparison.

`twin(encoder, …)` takes over a Keras encoder's weights, and checks that the outputs are equal.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

_LOG_OFFSET = 0.01
_MARGIN = 0.1


class Encoder(nn.Module):
    """Log mel [batch, 96, 64] → unit vectors [batch, dim]."""

    def __init__(self, layers: nn.Module, channels: int, dim: int):
        super().__init__()
        self.layers, self.embedding = layers, nn.Linear(channels, dim)

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        """As `audio_triplet.models.build_encoder`; the last layers in float32 in any precision."""
        maps = self.layers(log_mel[:, None].contiguous(memory_format=torch.channels_last))
        with torch.autocast("cpu", enabled=False):
            return functional.normalize(self.embedding(maps.float().mean((2, 3))))


class _MaxPool(nn.Module):
    """TensorFlow's 3×3 pooling of stride 2 with SAME padding: only below and to the right."""

    def forward(self, maps):
        return functional.max_pool2d(functional.pad(maps, (0, 1, 0, 1), value=-torch.inf), 3, 2)


class _Bottleneck(nn.Module):
    def __init__(self, before: int, inside: int, stride: int, shortcut: bool):
        super().__init__()
        outside = 4 * inside
        self.shortcut = _convolution(before, outside, 1, stride) if shortcut else nn.Identity()
        self.block = nn.Sequential(
            _convolution(before, inside, 1, stride),
            nn.ReLU(inplace=True),
            _convolution(inside, inside, 3),
            nn.ReLU(inplace=True),
            _convolution(inside, outside, 1),
        )

    def forward(self, maps):
        return functional.relu(self.block(maps) + self.shortcut(maps), inplace=True)


def _convolution(before: int, after: int, size: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(after, eps=1e-3, momentum=0.01),
    )


def vggish(width: float, dim: int) -> Encoder:
    """VGGish's convolutions without normalisation, as ours."""
    layers, before = [], 1
    for channels, repeats in ((64, 1), (128, 1), (256, 2), (512, 2)):
        for repeat in range(1, repeats + 1):
            after = max(1, round(channels * width))
            layers.append(nn.Conv2d(before, after, 3, padding=1))
            if repeat == repeats:
                layers.append(nn.MaxPool2d(2))  # before the ReLU, as ours: equal and cheaper
            layers.append(nn.ReLU(inplace=True))
            before = after
    return Encoder(nn.Sequential(*layers), before, dim)


def resnet50(width: float, dim: int) -> Encoder:
    """ResNet-50 with a first convolution of stride 1, as ours."""
    before = max(1, round(64 * width))
    layers = [_convolution(1, before, 7), _MaxPool(), nn.ReLU(inplace=True)]
    for stage, (channels, repeats) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for repeat in range(repeats):
            inside = max(1, round(channels * width))
            stride = 2 if repeat == 0 and stage else 1
            layers.append(_Bottleneck(before, inside, stride, shortcut=repeat == 0))
            before = 4 * inside
    return Encoder(nn.Sequential(*layers), before, dim)


def twin(encoder, architecture: str, width: float) -> Encoder:
    """A PyTorch encoder with the weights of a Keras one, in channels-last layout.

    Raises:
      ValueError: Their parameters differ in number or outputs differ by more than 1e-4.
    """
    made = {"vggish": vggish, "resnet50": resnet50}[architecture](width, encoder.output_shape[-1])
    theirs = list(made.parameters())
    ours = [v.numpy() for layer in _in_order(encoder) for v in layer.trainable_variables]
    if sum(p.numel() for p in theirs) != sum(v.size for v in ours):
        raise ValueError("the two encoders have different numbers of parameters")
    with torch.no_grad():
        for parameter, value in zip(theirs, ours, strict=True):
            order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[value.ndim]
            parameter.copy_(torch.from_numpy(value.transpose(order).copy()))
    made = made.to(memory_format=torch.channels_last)
    patches = np.random.default_rng(0).normal(size=(2, 96, 64)).astype(np.float32)
    made.eval()
    with torch.no_grad():
        difference = np.abs(made(torch.from_numpy(patches)).numpy() - encoder(patches).numpy())
    if difference.max() > 1e-4:
        raise ValueError(f"the two encoders' outputs differ by {difference.max():.1e}")
    return made.train()


def _in_order(encoder) -> list:
    """Layers with weights, a block's shortcut first as in `_Bottleneck`."""
    found = [layer for layer in encoder.layers if layer.weights]
    blocks = list(dict.fromkeys(_block(layer.name) for layer in found))
    return sorted(
        found, key=lambda layer: (blocks.index(_block(layer.name)), "shortcut" not in layer.name)
    )


def _block(name: str) -> str:
    return "_".join(name.split("_")[:2]) if name.startswith("stage") else name


class Step:
    """One training step on a batch of triplets, with mining in the batch, as `training.Trainer`."""

    def __init__(self, encoder: Encoder, bfloat16: bool, compiled: bool):
        self._encoder = torch.compile(encoder) if compiled else encoder
        self._bfloat16 = bfloat16
        self._optimizer = torch.optim.Adam(encoder.parameters(), 3e-4, eps=1e-7, fused=True)

    def __call__(self, anchor: torch.Tensor, positive: torch.Tensor) -> float:
        """float32[batch, 96, 64] linear energies each → loss."""
        self._optimizer.zero_grad(set_to_none=True)
        log_mel = torch.log(torch.cat([anchor, positive]) + _LOG_OFFSET)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
            embeddings = self._encoder(log_mel).float()
        anchor, positive = embeddings.chunk(2)
        to_positive = ((anchor - positive) ** 2).sum(1)
        with torch.no_grad():
            distance = torch.cdist(anchor, anchor) ** 2
            distance.fill_diagonal_(torch.inf)
            farther = distance.masked_fill(distance <= to_positive[:, None], torch.inf)
            nearest, index = farther.min(1)
            distance.fill_diagonal_(-torch.inf)
            index = torch.where(nearest.isinf(), distance.argmax(1), index)
        to_negative = ((anchor - anchor[index]) ** 2).sum(1)
        loss = functional.relu(to_positive - to_negative + _MARGIN).mean()
        loss.backward()
        self._optimizer.step()
        return loss.item()
