"""The networks of patchtst.py: patches of a sequence, one encoder for all channels, and what comes on top of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from spymaster_assets.features import CHANNELS
from spymaster_assets.models.odds import CLASSES

SCALES: Final = ((1, 300), (60, 120))  # seconds of a step and number of steps, as `sequences` of the configuration has them
REACH: Final = 5.0  # standard deviations at which a value of the level frame is cut off: volumes have long tails
LEVEL: Final = "level"  # each channel by its mean and deviation over all that is learnt from: where the price is stays known
INSTANCE: Final = "instance"  # each channel of a sequence by its own mean and deviation (RevIN, Kim et al. 2022): reversible

_EPSILON: Final = 1e-5  # added to a variance of a sequence
_NOWHERE: Final = -1e9  # added to the score of a patch without a known value; finite: a channel may have none at all


@dataclass(frozen=True)
class PatchConfig:
    """What a network is made of and how it learns; ValueError if that cannot be.

    `steps`: of each scale; `patch`, `stride`: in steps, the same for every scale, of which the patches leave no step over;
    `width`: numbers that a patch becomes; `hidden`: of the layer between two; `normalisation`: LEVEL or INSTANCE;
    `statistics`: mean and log deviation of a channel's sequence go with each of its patches; `rate`: greatest learning rate;
    `patience`: epochs without a better validation loss before learning ends.
    """

    channels: int = len(CHANNELS)
    steps: tuple[int, ...] = tuple(steps for _, steps in SCALES)
    patch: int = 12
    stride: int = 12
    width: int = 32
    heads: int = 2
    hidden: int = 64
    layers: int = 2
    dropout: float = 0.1
    normalisation: str = LEVEL
    statistics: bool = True
    batch: int = 256
    rate: float = 1e-3
    decay: float = 0.05
    patience: int = 5

    def __post_init__(self) -> None:
        if self.normalisation not in (LEVEL, INSTANCE):
            raise ValueError(f"normalisation {self.normalisation!r}: expected {LEVEL!r} or {INSTANCE!r}")
        if min(self.channels, self.patch, self.stride, self.width, self.heads, self.hidden, self.batch) < 1:
            raise ValueError(f"{self}: a number is below 1")
        if not self.steps or any(steps < self.patch or (steps - self.patch) % self.stride for steps in self.steps):
            raise ValueError(f"patches of {self.patch} steps, {self.stride} apart, do not fit {self.steps} steps")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of {self.heads} heads")

    @property
    def patches(self) -> tuple[int, ...]:
        """Number of patches of each scale."""
        return tuple((steps - self.patch) // self.stride + 1 for steps in self.steps)


class SeenNorm(nn.Module):
    """Batch normalisation over the patches that are seen, of all channels and rows; the others become 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)

    def forward(self, tokens: Tensor, seen: Tensor) -> Tensor:
        """(m, patches, width) to the same. `seen`: (m, patches)."""
        out = torch.zeros_like(tokens)
        out[seen] = self.norm(tokens[seen])  # (m, patches, width) -> (seen patches, width) and back
        return out


class Block(nn.Module):
    """A layer of the encoder: patches look at each other, then each is worked on alone; normalised after both, as in the paper."""

    def __init__(self, config: PatchConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query_key_value, self.attended = nn.Linear(config.width, 3 * config.width), nn.Linear(config.width, config.width)
        self.feed, self.fed = nn.Linear(config.width, config.hidden), nn.Linear(config.hidden, config.width)
        self.attention_norm, self.feed_norm = SeenNorm(config.width), SeenNorm(config.width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, seen: Tensor) -> Tensor:
        """(m, patches, width) to the same. `seen`: (m, patches), which of them may be looked at."""
        m, patches, width = tokens.shape
        three = self.query_key_value(tokens).view(m, patches, 3, self.heads, width // self.heads)
        query, key, value = three.permute(2, 0, 3, 1, 4)  # each (m, heads, patches, width / heads)
        unseen = torch.where(seen, 0.0, _NOWHERE)[:, None, None]  # (m, patches) -> (m, 1, 1, patches), added to scores
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=unseen)
        attended = attended.transpose(1, 2).reshape(m, patches, width)  # (m, heads, patches, width / heads) -> (m, patches, width)
        tokens = self.attention_norm(tokens + self.drop(self.attended(attended)), seen)
        fed = self.fed(self.drop(functional.gelu(self.feed(tokens))))
        return self.feed_norm(tokens + self.drop(fed), seen)


class Patched(NamedTuple):
    """One scale of sequences, cut. `patches`: (n, channels, count, entries); `seen`: (n, channels, count), whether a value of it is
    known; `mean`, `deviation`: (n, channels, 1), of the known values, by which the sequence was normalised if it was by itself."""

    patches: Tensor
    seen: Tensor
    mean: Tensor
    deviation: Tensor


class Backbone(nn.Module):
    """From a sequence to a vector for each patch, channel by channel."""

    def __init__(self, config: PatchConfig) -> None:
        super().__init__()
        self.config = config
        self.centre: Tensor  # (scales, channels); 0, and spread 1, unless `measure` knows better
        self.spread: Tensor
        self.register_buffer("centre", torch.zeros(len(config.steps), config.channels))
        self.register_buffer("spread", torch.ones(len(config.steps), config.channels))
        entries = config.patch + (2 if config.statistics else 0)
        self.embed = nn.ModuleList(nn.Linear(entries, config.width) for _ in config.steps)
        self.place = nn.Parameter(0.02 * torch.randn(sum(config.patches), config.width))
        self.drop = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))

    def measure(self, values: np.ndarray) -> None:
        """Take `centre` and `spread` from (n, steps, channels), NaN where unknown; a spread is infinite where nothing varies."""
        for scale, part in enumerate(np.split(values, np.cumsum(self.config.steps)[:-1], axis=1)):
            for channel in range(self.config.channels):
                known = part[:, :, channel][~np.isnan(part[:, :, channel])].astype(np.float64)
                centre, spread = (known.mean(), known.std()) if len(known) else (0.0, 0.0)
                self.centre[scale, channel] = centre
                self.spread[scale, channel] = spread if spread > 1e-6 * abs(centre) else np.inf

    def forward(self, values: Tensor) -> tuple[Tensor, list[Patched]]:
        """`values`: (n, steps, channels), NaN where unknown. Vectors (n, channels, patches, width), and what each scale became."""
        scales = [self._patched(part, scale) for scale, part in enumerate(torch.split(values, list(self.config.steps), dim=1))]
        embedded = [embed(one.patches) for embed, one in zip(self.embed, scales, strict=True)]  # (n, channels, count, width) each
        tokens = self.drop(torch.cat(embedded, dim=2) + self.place)  # (n, channels, patches, width)
        seen = torch.cat([one.seen for one in scales], dim=2)  # (n, channels, patches)
        tokens, each = tokens.flatten(0, 1), seen.flatten(0, 1)  # (n, channels, ...) -> (n * channels, ...): each for itself
        for block in self.blocks:
            tokens = block(tokens, each)
        tokens = tokens.unflatten(0, seen.shape[:2])  # (n * channels, patches, width) -> (n, channels, patches, width)
        return tokens, scales

    def _patched(self, values: Tensor, scale: int) -> Patched:
        """Normalise and cut (n, steps, channels) of one scale."""
        config = self.config
        values = (values - self.centre[scale]) / self.spread[scale]
        values = values.transpose(1, 2)  # (n, steps, channels) -> (n, channels, steps)
        known = ~torch.isnan(values)
        values = torch.where(known, values, 0.0)
        if config.normalisation == LEVEL:
            values = values.clamp(-REACH, REACH)
        number = known.sum(dim=2, keepdim=True).clamp(min=1)
        mean = values.sum(dim=2, keepdim=True) / number
        deviation = (torch.where(known, values - mean, 0.0).square().sum(dim=2, keepdim=True) / number + _EPSILON).sqrt()
        if config.normalisation == INSTANCE:
            values = torch.where(known, (values - mean) / deviation, 0.0)
        patches = values.unfold(2, config.patch, config.stride)  # (n, channels, steps) -> (n, channels, count, patch)
        if config.statistics:
            pair = torch.cat([mean, deviation.log()], dim=2)[:, :, None].expand(*patches.shape[:3], 2)  # (n, channels, count, 2)
            patches = torch.cat([patches, pair], dim=3)  # -> (n, channels, count, patch + 2)
        seen = known.unfold(2, config.patch, config.stride).any(dim=3)  # (n, channels, count, patch) -> (n, channels, count)
        return Patched(patches, seen, mean, deviation)


class ClassNetwork(nn.Module):
    """What is added to the log-probabilities of the three classes: at first nothing."""

    def __init__(self, config: PatchConfig) -> None:
        super().__init__()
        self.backbone = Backbone(config)
        self.drop = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.channels * config.width, len(CLASSES))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, values: Tensor) -> Tensor:
        """(n, steps, channels), NaN where unknown, to (n, 3)."""
        tokens, scales = self.backbone(values)
        seen = torch.cat([one.seen for one in scales], dim=2)  # (n, channels, patches)
        number = seen.sum(dim=2, keepdim=True).clamp(min=1)  # (n, channels, 1)
        pooled = (tokens * seen[..., None]).sum(dim=2) / number  # mean over the seen patches: (n, channels, width)
        return self.head(self.drop(pooled.flatten(1)))  # (n, channels * width) -> (n, 3)


class FutureNetwork(nn.Module):
    """The next steps of every channel, from its own past."""

    def __init__(self, config: PatchConfig, horizon: int) -> None:
        super().__init__()
        self.backbone = Backbone(config)
        self.drop = nn.Dropout(config.dropout)
        self.head = nn.Linear(sum(config.patches) * config.width, horizon)

    def forward(self, values: Tensor) -> Tensor:
        """(n, steps, channels) to (n, horizon, channels)."""
        tokens, (scale,) = self.backbone(values)
        future = self.head(self.drop(tokens.flatten(2)))  # (n, channels, patches * width) -> (n, channels, horizon)
        future = future * scale.deviation + scale.mean
        return future.transpose(1, 2)  # (n, channels, horizon) -> (n, horizon, channels)
