"""PatchTST: a transformer that reads the steps before a landmark in patches, each channel for itself.

After Nie, Nguyen, Sinthong, Kalagnanam 2023 (A Time Series is Worth 64 Words, ICLR), written anew. The sequence of each channel is
cut into patches; one encoder, the same for all channels, lets the patches of a channel look at each other. On top of it come either
logits that are added to geometry's log-probabilities (the last layer starts at zero: geometry exactly) or, for the published check,
the steps that follow. Unknown values are 0 after normalisation, and a patch without a known value is seen by nobody.
docs/patchtst.md has the shapes and the figures.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor, nn
from torch.nn import functional

from spymaster_assets.features import CHANNELS
from spymaster_assets.models.metrics import check_outcomes, log_loss
from spymaster_assets.models.odds import CLASSES, softmax

if TYPE_CHECKING:
    from spymaster_assets.progress import Progress

SCALES: Final = ((1, 300), (60, 120))  # seconds of a step and number of steps, as `sequences` of the configuration has them
REACH: Final = 5.0  # standard deviations at which a value of the level frame is cut off: volumes have long tails
LEVEL: Final = "level"  # each channel by its mean and deviation over all that is learnt from: where the price is stays known
INSTANCE: Final = "instance"  # each channel of a sequence by its own mean and deviation (RevIN, Kim et al. 2022): reversible

_EPSILON: Final = 1e-5  # added to a variance of a sequence
_NOWHERE: Final = -1e9  # added to the score of a patch without a known value; finite: a channel may have none at all
_WARM: Final = 0.1  # share of the steps in which the learning rate rises
_CLIP: Final = 1.0  # longest gradient
_ROWS: Final = 512  # predicted at once


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


OURS: Final = PatchConfig()  # about 21 thousand numbers to learn


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


class Epoch(NamedTuple):
    """Mean loss on what is learnt from (while learning: with dropout) and on validation, None without it."""

    train: float
    valid: float | None


@dataclass(frozen=True)
class Trained:
    """A network that gives odds. `history`: epoch 0, geometry alone, and those learnt; `epoch`: the one whose weights these are."""

    network: ClassNetwork
    seed: int
    epoch: int
    history: tuple[Epoch, ...]

    @property
    def config(self) -> PatchConfig:
        """That of its network."""
        return self.network.backbone.config

    def predict(self, values: np.ndarray, observed: np.ndarray, offset: np.ndarray, *, device: str = "cpu") -> np.ndarray:
        """Probabilities (n, 3). `values`: (n, steps, channels); NaN, or of a step not `observed` (n, steps): unknown; `offset`:
        (n, 3) log-probabilities. ValueError for other shapes, an infinite value or an offset that is not finite."""
        if observed.shape != values.shape[:2]:
            raise ValueError(f"observed has the shape {observed.shape}, values {values.shape}")
        values = np.where(observed[:, :, None], values, np.float32(np.nan))
        _check_values(values, self.config)
        _check_offset(offset, len(values))
        return softmax(offset + _asked(self.network, values, device))

    def save(self, folder: Path) -> None:
        """Write patchtst.safetensors and patchtst.json into a folder that exists."""
        weights, description = _paths(folder)
        weights.write_bytes(tensor_bytes({name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}))
        told = {"config": asdict(self.config), "seed": self.seed, "epoch": self.epoch, "history": self.history}
        description.write_text(json.dumps(told, indent=1) + "\n")

    @staticmethod
    def load(folder: Path) -> Trained:
        """What `save` wrote. ValueError naming the file if one of them is something else, or the weights are another network's."""
        weights, description = _paths(folder)
        try:
            told = json.loads(description.read_text())
            config = PatchConfig(**{**told["config"], "steps": tuple(told["config"]["steps"])})
            history = tuple(Epoch(float(train), None if valid is None else float(valid)) for train, valid in told["history"])
            seed, epoch = int(told["seed"]), int(told["epoch"])
            with _seeded(seed, "cpu"):
                network = ClassNetwork(config)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{description}: does not describe a PatchTST: {error!r}") from error
        try:
            tensors = read_tensors(weights.read_bytes())
        except SafetensorError as error:
            raise ValueError(f"{weights}: not a safetensors file: {error}") from error
        wanted = {name: (tensor.dtype, tensor.shape) for name, tensor in network.state_dict().items()}
        found = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
        if strange := sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name)):
            raise ValueError(
                f"{weights}: {', '.join(strange)}: missing, unknown or not of the shape that {description.name} asks for"
            )
        if unsound := [name for name, tensor in tensors.items() if torch.isnan(tensor).any()]:
            raise ValueError(f"{weights}: {', '.join(unsound)}: not a number")
        network.load_state_dict(tensors)
        return Trained(network.eval(), seed, epoch, history)


@dataclass(frozen=True)
class Forecaster:
    """A network that continues series; `epoch` and `history` as in `Trained`, losses are mean squared errors."""

    network: FutureNetwork
    epoch: int
    history: tuple[Epoch, ...]

    def forecast(self, windows: np.ndarray, *, device: str = "cpu") -> np.ndarray:
        """(n, steps, channels) to (n, horizon, channels)."""
        _check_values(windows, self.network.backbone.config)
        return _asked(self.network, windows, device)


def sequence_arrays(
    rows: np.ndarray, scales: Sequence[tuple[int, int]] = SCALES
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of `gold/sequences` as values (n, steps, channels) f4, NaN where unknown; observed (n, steps); touch and elapsed (n,).

    One sequence after the other, each in the order of `scales` (seconds of a step, number of steps) and the earliest step first, as
    the table has them; else ValueError, and so if a step that is not observed has a value.
    """
    each = sum(steps for _, steps in scales)
    if len(rows) % each:
        raise ValueError(f"{len(rows)} rows of sequences: no multiple of {each}, the steps of one")
    rows = rows.reshape(-1, each)  # (n * steps,) -> (n, steps)
    wanted = {"scale": np.concatenate([np.full(steps, scale) for scale, steps in scales])}
    wanted["step"] = np.concatenate([np.arange(steps) for _, steps in scales])
    for name in ("touch", "elapsed", *wanted):
        bad = (rows[name] != wanted.get(name, rows[name][:, :1])).any(axis=1)
        if bad.any():
            at = rows[bad.argmax(), 0]
            raise ValueError(
                f"sequence {bad.argmax()} (touch {at['touch']}, {at['elapsed']} s): {name} is not that of its {each} steps"
            )
    observed = rows["observed"] == 1
    values = np.stack([rows[channel.name] for channel in CHANNELS], axis=2).astype(np.float32)
    if (~np.isnan(values[~observed])).any():
        raise ValueError("a step that is not observed has a value")
    return values, observed, rows["touch"][:, 0].copy(), rows["elapsed"][:, 0].copy()


Labelled = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # values, offset, outcomes, weights


def fit(
    values: np.ndarray, offset: np.ndarray, outcomes: np.ndarray, weights: np.ndarray, valid: Labelled | None = None,
    *, seed: int, epochs: int, device: str = "cpu", on_progress: Progress | None = None, config: PatchConfig = OURS,
) -> Trained:  # fmt: skip
    """Learn what to add to `offset`, (n, 3) log-probabilities, from `values` (n, steps, channels), NaN where unknown.

    `outcomes`: (n,), BREAK, BOUNCE or CHOP; `weights`: (n,); `valid`: the same four of other rows. Kept is the epoch with the least
    weighted log loss on those, epoch 0, the offset alone, being one of them; without them the last. The order of rows, dropout and
    the first weights are random, from `seed`: on the cpu the same bytes each time. ValueError for data that do not fit together.
    """
    _check_labelled(values, offset, outcomes, weights, config)
    if valid:
        _check_labelled(*valid, config)
    share, logs, happened = _tensor(weights / weights.mean(), device), _tensor(offset, device), _tensor(outcomes, device).long()

    def loss(places: np.ndarray) -> Tensor:
        logits = logs[places] + network(_tensor(values[places], device))
        return (functional.cross_entropy(logits, happened[places], reduction="none") * share[places]).mean()

    def validate() -> float | None:
        if not valid:
            return None
        return log_loss(softmax(valid[1] + _outputs(network, valid[0], device)), *valid[2:])

    with _seeded(seed, device):
        network = ClassNetwork(config)
        network.backbone.measure(values)
        network.to(device)
        before = log_loss(softmax(offset), outcomes, weights)
        epoch, history = _learn(network, config, len(values), loss, validate, before, seed, epochs, "patchtst", on_progress)
    return Trained(network.cpu().eval(), seed, epoch, history)


def fit_forecaster(
    windows: np.ndarray, targets: np.ndarray, valid: tuple[np.ndarray, np.ndarray] | None = None,
    *, config: PatchConfig, seed: int, epochs: int, device: str = "cpu", on_progress: Progress | None = None,
) -> Forecaster:  # fmt: skip
    """Learn to continue `windows` (n, steps, channels) by `targets` (n, horizon, channels), least squares; `valid` as in `fit`.

    The same backbone on one scale, each window normalised by itself and the forecast brought back. ValueError as in `fit`.
    """
    if config.normalisation != INSTANCE or len(config.steps) != 1:
        raise ValueError(f"a forecast is of one scale and is normalised by {INSTANCE!r}")
    for pair in [(windows, targets)] + ([valid] if valid else []):
        _check_values(pair[0], config)
        if pair[1].shape != (len(pair[0]), targets.shape[1], config.channels):
            raise ValueError(f"targets have the shape {pair[1].shape} for windows {pair[0].shape}")

    def loss(places: np.ndarray) -> Tensor:
        return functional.mse_loss(network(_tensor(windows[places], device)), _tensor(targets[places], device))

    def squared_error(past: np.ndarray, future: np.ndarray) -> float:
        return float(np.square(_outputs(network, past, device) - future).mean(dtype=np.float64))

    def validate() -> float | None:
        return squared_error(*valid) if valid else None

    with _seeded(seed, device):
        network = FutureNetwork(config, targets.shape[1]).to(device)
        before = squared_error(windows, targets)
        epoch, history = _learn(network, config, len(windows), loss, validate, before, seed, epochs, "forecaster", on_progress)
    return Forecaster(network.cpu().eval(), epoch, history)


def linear_forecaster(windows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Weights (steps, horizon) of the linear map from a window to what follows, both less the window's mean, least squares.

    `windows`: (n, steps, channels), `targets`: (n, horizon, channels); one map for all channels. A window less its mean sums to
    zero, so that one direction is free: the shortest weights. NLinear (Zeng et al. 2023, AAAI) in closed form, less the mean
    instead of the last value.
    """
    gram = np.zeros((windows.shape[1], windows.shape[1]))
    cross = np.zeros((windows.shape[1], targets.shape[1]))
    for channel in range(windows.shape[2]):
        past, future = windows[:, :, channel].astype(np.float64), targets[:, :, channel].astype(np.float64)
        mean = past.mean(axis=1, keepdims=True)
        gram += (past - mean).T @ (past - mean)
        cross += (past - mean).T @ (future - mean)
    return np.linalg.lstsq(gram, cross, rcond=1e-12)[0]


def linear_forecast(weights: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Forecasts (n, horizon, channels) of `windows` (n, steps, channels) by the weights of `linear_forecaster`."""
    mean = windows.mean(axis=1, keepdims=True)
    return np.einsum("nsc,sh->nhc", windows - mean, weights, optimize=True) + mean


def _learn(
    network: nn.Module, config: PatchConfig, rows: int, loss: Callable[[np.ndarray], Tensor], validate: Callable[[], float | None],
    before: float, seed: int, epochs: int, label: str, on_progress: Progress | None,
) -> tuple[int, tuple[Epoch, ...]]:  # fmt: skip
    """Fit in place by AdamW (Loshchilov, Hutter 2019); returns the epoch whose weights are left in it, and the losses of all.

    The rate rises over the first tenth of all steps and falls as a cosine. Matrices are drawn toward 0, biases and norms are not.
    """
    matrices = [weight for weight in network.parameters() if weight.ndim > 1]
    vectors = [weight for weight in network.parameters() if weight.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": config.decay}, {"params": vectors, "weight_decay": 0.0}], lr=config.rate
    )
    order, batches = np.random.default_rng(seed), math.ceil(rows / config.batch)
    least = validate()
    history = [Epoch(before, least)]
    best, kept = 0, copy.deepcopy(network.state_dict())
    for epoch in range(1, epochs + 1):
        network.train()
        total = 0.0
        for number, places in enumerate(np.array_split(order.permutation(rows), batches)):
            for group in optimiser.param_groups:
                group["lr"] = config.rate * _pace(((epoch - 1) * batches + number + 1) / (epochs * batches))
            here = loss(places)
            optimiser.zero_grad()
            here.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
            optimiser.step()
            total += here.item() * len(places)
        network.eval()
        valid = validate()
        history.append(Epoch(total / rows, valid))
        if on_progress:
            on_progress(label, epoch, epochs)
        if valid is None or least is None or valid < least:
            best, least, kept = epoch, valid, copy.deepcopy(network.state_dict())
        elif epoch - best >= config.patience:
            break
    network.load_state_dict(kept)
    return best, tuple(history)


def _pace(done: float) -> float:
    """Share of the greatest learning rate when a share `done` of all steps is done."""
    return done / _WARM if done < _WARM else (1 + math.cos(math.pi * (done - _WARM) / (1 - _WARM))) / 2


def _asked(network: nn.Module, values: np.ndarray, device: str) -> np.ndarray:
    """`_outputs` of a network that is on the cpu and stays there."""
    with _one_thread(device):
        return _outputs(network if device == "cpu" else copy.deepcopy(network).to(device), values, device)


def _outputs(network: nn.Module, values: np.ndarray, device: str) -> np.ndarray:
    """What a network says of (n, steps, channels), some rows at a time."""
    network.eval()
    with torch.inference_mode():
        parts = [network(_tensor(values[at : at + _ROWS], device)).cpu().numpy() for at in range(0, max(len(values), 1), _ROWS)]
    return np.concatenate(parts)


def _tensor(values: np.ndarray, device: str) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32, order="C")).to(device)  # a copy: arrays from a table are read-only


@contextmanager
def _one_thread(device: str) -> Iterator[None]:
    """Within it torch computes with one thread and, on the cpu, the same bytes each time; after it all is as before."""
    if device != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r}: this machine has no card that torch can use")
    threads = torch.get_num_threads()
    strict, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(device == "cpu")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=warns)


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """`_one_thread`, and torch draws from `seed`; after it, from where it was."""
    with _one_thread(device), torch.random.fork_rng(devices=[] if device == "cpu" else range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def _paths(folder: Path) -> tuple[Path, Path]:
    return folder / "patchtst.safetensors", folder / "patchtst.json"


def _check_values(values: np.ndarray, config: PatchConfig) -> None:
    expected = (sum(config.steps), config.channels)
    if values.ndim != 3 or values.shape[1:] != expected:
        raise ValueError(f"values have the shape {values.shape}, expected (n, {expected[0]}, {expected[1]})")
    if np.isinf(values).any():
        raise ValueError(f"{np.isinf(values).sum()} values are infinite")


def _check_offset(offset: np.ndarray, rows: int) -> None:
    if offset.shape != (rows, len(CLASSES)) or not np.isfinite(offset).all():
        raise ValueError(f"offset: expected finite log-probabilities, {(rows, len(CLASSES))}, found the shape {offset.shape}")


def _check_labelled(values: np.ndarray, offset: np.ndarray, outcomes: np.ndarray, weights: np.ndarray, config: PatchConfig) -> None:
    _check_values(values, config)
    _check_offset(offset, len(values))
    if outcomes.shape != (len(values),) or weights.shape != (len(values),):
        raise ValueError(f"{len(values)} sequences, outcomes {outcomes.shape}, weights {weights.shape}: expected one of each")
    check_outcomes(outcomes)
    if not (weights.sum() > 0 and (weights >= 0).all()):
        raise ValueError("weights: expected none below 0 and a sum above it")
