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
from spymaster_assets.models.networks import INSTANCE, SCALES, ClassNetwork, FutureNetwork, PatchConfig
from spymaster_assets.models.odds import CLASSES, softmax

if TYPE_CHECKING:
    from spymaster_assets.progress import Progress


_WARM: Final = 0.1  # share of the steps in which the learning rate rises
_CLIP: Final = 1.0  # longest gradient
_ROWS: Final = 512  # predicted at once


OURS: Final = PatchConfig()  # about 21 thousand numbers to learn


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
