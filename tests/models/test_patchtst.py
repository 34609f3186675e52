"""PatchTST: effects that were planted, and what must change nothing."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from pytest import approx

from spymaster_assets.features import CHANNELS
from spymaster_assets.models.metrics import log_loss, log_losses
from spymaster_assets.models.networks import INSTANCE, LEVEL, REACH, SCALES, Backbone, ClassNetwork, PatchConfig
from spymaster_assets.models.odds import softmax
from spymaster_assets.models.patchtst import Trained, fit, sequence_arrays
from spymaster_assets.states import BOUNCE, BREAK, CENSORED
from spymaster_assets.tables import SEQUENCES
from tests.models.worlds import drawn, tilted

SMALL = PatchConfig(channels=3, steps=(48, 24), width=8, hidden=16, layers=1, batch=64, rate=0.02, dropout=0.0)  # 4 and 2 patches
EACH = sum(SMALL.steps)
ALONE = 1e-6  # by how much a probability may differ alone and in a batch: single precision, summed in another order


# Data


def noise(n, seed):
    """Sequences without meaning, a tenth of their steps unobserved, and log-probabilities to start from."""
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(n, EACH, SMALL.channels)) * (1, 30, 0.1) + (0, 100, 0)).astype(np.float32)
    values[rng.random((n, EACH)) < 0.1] = np.nan
    return values, np.log(rng.dirichlet((3.0, 3.0, 1.5), n))


def by_level(values):
    """Mean of the first channel over the last 12 seconds: a quantity of one patch."""
    return 2 * np.nanmean(values[:, 36:48, 0], axis=1) * math.sqrt(12 * 0.9)


def by_size(values):
    """Mean of the second channel over the last 12 minutes, far from its usual 100 either way: no linear map tells."""
    return 2 * (np.abs(np.nanmean(values[:, 60:72, 1], axis=1) - 100) / 30 * math.sqrt(12 * 0.9) - 0.8)


def planted(n, seed, effect):
    """`noise` with outcomes: the odds of BREAK against BOUNCE are exp(2 effect) times the offset's. And the true probabilities."""
    values, offset = noise(n, seed)
    tilt = effect(values)
    truth = tilted(np.exp(offset), np.stack([tilt, -tilt, np.zeros(n)], axis=1))
    return values, offset, drawn(truth, np.random.default_rng(seed + 1000)), np.ones(n), truth


def observed_of(values):
    return ~np.isnan(values).all(axis=2)


@pytest.fixture(scope="module")
def learnt():
    """A network that knows something, and rows that it did not learn from."""
    values, offset, outcomes, weights, _ = planted(600, 1, by_level)
    trained = fit(values, offset, outcomes, weights, seed=3, epochs=6, config=SMALL)
    return trained, noise(40, 9)


def bytes_of(trained, folder):
    folder.mkdir()
    trained.save(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# What it adds to geometry


@pytest.mark.parametrize("normalisation", [LEVEL, INSTANCE])
def test_a_new_network_is_the_offset_exactly(normalisation):
    config = PatchConfig(channels=3, steps=(48, 24), normalisation=normalisation)
    values, offset = noise(20, 0)
    fresh = fit(values, offset, np.zeros(20, np.int64), np.ones(20), seed=0, epochs=0, config=config)
    assert fresh.epoch == 0
    assert np.array_equal(fresh.predict(values, observed_of(values), offset), softmax(offset))


@pytest.mark.parametrize("effect", [by_level, by_size])
def test_planted_effects_are_learnt(effect):
    """Most of what the truth gains over the offset, on rows neither learnt from nor used to stop."""
    train, valid, test = (planted(n, seed, effect) for n, seed in ((1500, 1), (500, 2), (1500, 3)))
    trained = fit(*train[:4], valid[:4], seed=5, epochs=12, config=SMALL)
    values, offset, outcomes, weights, truth = test
    geometry = log_loss(softmax(offset), outcomes, weights)
    gain = geometry - log_loss(trained.predict(values, observed_of(values), offset), outcomes, weights)
    possible = geometry - log_loss(truth, outcomes, weights)
    print(f"{effect.__name__}: gains {gain:.3f} of {possible:.3f} nats, epoch {trained.epoch} of {len(trained.history) - 1}")
    assert possible > 0.1
    assert gain >= 0.5 * possible
    assert trained.history[trained.epoch].valid == min(epoch.valid for epoch in trained.history)


def test_what_means_nothing_is_not_learnt():
    """Outcomes of other rows: no gain beyond luck on rows not seen, and on validation never worse than the offset."""
    train, valid, test = (planted(n, seed, by_level) for n, seed in ((1500, 1), (500, 2), (1500, 3)))
    order = np.random.default_rng(0)
    train, valid = ((v, o, order.permutation(y), w) for v, o, y, w, _ in (train, valid))
    offset = np.full((1500, 3), -math.log(3))  # the outcomes no longer follow the rows' offsets: equal ones, so that none is wrong
    train, valid = (train[0], offset, *train[2:]), (valid[0], offset[:500], *valid[2:])
    trained = fit(*train, valid, seed=5, epochs=6, config=SMALL)
    assert trained.history[trained.epoch].valid <= trained.history[0].valid
    outcomes = order.permutation(test[2])
    shares = np.log(np.bincount(train[2], minlength=3) / 1500)
    gains = -shares[outcomes] - log_losses(trained.predict(test[0], observed_of(test[0]), offset), outcomes)
    assert gains.mean() < 2 * gains.std() / math.sqrt(1500)


def test_it_learns_what_the_offset_lacks():
    """Where the offset is the truth, two epochs of learning leave the mean odds where they were."""
    values, _ = noise(400, 1)
    truth = np.tile((0.8, 0.15, 0.05), (400, 1))
    outcomes = drawn(truth, np.random.default_rng(2))
    trained = fit(values, np.log(truth), outcomes, np.ones(400), seed=0, epochs=2, config=SMALL)
    assert trained.epoch == 2  # without validation the last
    assert trained.predict(values, observed_of(values), np.log(truth)).mean(axis=0) == approx(truth[0], abs=0.06)


def test_rows_that_weigh_little_teach_little():
    """Of two halves that contradict each other the heavy one is believed."""
    halves = (planted(400, 1, by_level), planted(400, 3, lambda values: -by_level(values)))
    values, offset, outcomes = (np.concatenate([half[place] for half in halves]) for place in range(3))
    trained = fit(values, offset, outcomes, np.repeat([1, 0.01], 400), seed=0, epochs=4, config=SMALL)
    test = planted(800, 2, by_level)
    probabilities = trained.predict(test[0], observed_of(test[0]), test[1])
    assert log_loss(probabilities, *test[2:4]) < log_loss(softmax(test[1]), *test[2:4]) - 0.1


def test_what_validation_contradicts_is_not_kept():
    values, offset, outcomes, weights, _ = planted(1000, 1, by_level)
    valid = planted(1000, 2, lambda values: -by_level(values))[:4]
    trained = fit(values, offset, outcomes, weights, valid, seed=0, epochs=20, config=SMALL)
    assert trained.epoch == 0
    assert len(trained.history) == 1 + SMALL.patience  # it did not go on either
    assert np.array_equal(trained.predict(values, observed_of(values), offset), softmax(offset))


def test_weights_are_relative():
    """Sevenfold ones teach the same, and validation rows of weight 0 do not count."""
    values, offset, outcomes, weights, _ = planted(200, 1, by_level)
    valid = planted(100, 2, by_level)[:4]
    more = [np.concatenate(pair) for pair in zip(valid[:3], planted(50, 4, by_size)[:3], strict=True)]
    more.append(np.r_[np.ones(100), np.zeros(50)])
    one = fit(values, offset, outcomes, weights, valid, seed=0, epochs=2, config=SMALL)
    two = fit(values, offset, outcomes, weights * 7, tuple(more), seed=0, epochs=2, config=SMALL)
    assert [epoch.valid for epoch in two.history] == approx([epoch.valid for epoch in one.history], abs=1e-6)


# What must change nothing


def test_unknown_values_change_nothing(learnt):
    trained, (values, offset) = learnt
    values, offset, observed = values.copy(), offset.copy(), observed_of(values)
    observed[3, :48] = False  # a whole scale
    observed[4] = False  # everything
    before = trained.predict(values, observed, offset)
    changed = np.where(observed[:, :, None], values, np.float32(1e6))
    changed[:, :, 1][~observed] = np.inf
    assert np.array_equal(trained.predict(changed, observed, offset), before)
    assert np.isfinite(before).all()
    assert trained.predict(values[4:5], observed[4:5], offset[4:5]) == approx(before[4:5], abs=ALONE)
    one_channel = values.copy()
    one_channel[:, :, 2] = np.nan  # null in steps that are observed
    assert np.isfinite(trained.predict(one_channel, observed, offset)).all()
    assert not np.array_equal(trained.predict(values + 0.5, observed, offset), before)
    for array in (values, observed, offset):
        array.flags.writeable = False  # as from a table
    assert np.array_equal(trained.predict(values, observed, offset), before)


def test_a_patch_without_a_known_value_is_seen_by_nobody(learnt):
    """Its own vector may be anything: with the place of a hidden patch moved far away all is the same, while learning too."""
    trained, (values, _) = learnt
    values = values.copy()
    values[:, 12:24] = np.nan
    values[0] = np.nan
    for learning in (False, True):
        network = copy.deepcopy(trained.network).train(learning)
        with torch.no_grad():
            before = network(torch.from_numpy(values))
            network.backbone.place[1] += 100
            assert torch.equal(network(torch.from_numpy(values)), before)
            assert torch.isfinite(before).all()
            network.backbone.place[2] += 100
            assert not torch.equal(network(torch.from_numpy(values)), before)


def test_logits_are_of_the_mean_over_seen_patches(learnt):
    trained, (values, _) = learnt
    values = values.copy()
    values[0, :24, 0] = np.nan  # two patches of six
    network = trained.network
    with torch.inference_mode():
        logits = network(torch.from_numpy(values)).numpy()[0]
        tokens = network.backbone(torch.from_numpy(values))[0].numpy()[0]
    pooled = np.concatenate([tokens[0, 2:].mean(axis=0), tokens[1].mean(axis=0), tokens[2].mean(axis=0)])
    weight, bias = (parameter.detach().numpy() for parameter in (network.head.weight, network.head.bias))
    assert logits == approx(weight @ pooled + bias, abs=1e-5)


def test_channels_do_not_look_at_each_other(learnt):
    trained, (values, _) = learnt
    backbone = trained.network.backbone
    changed = values.copy()
    changed[:, :, 0] *= 2
    with torch.inference_mode():
        before, after = (backbone(torch.from_numpy(those))[0] for those in (values, changed))
    assert before.shape == (40, 3, 6, SMALL.width)
    assert torch.allclose(before[:, 1:], after[:, 1:], atol=1e-6)
    assert not torch.allclose(before[:, 0], after[:, 0], atol=1e-2)


def test_alone_and_in_a_batch(learnt):
    trained, (values, offset) = learnt
    observed = observed_of(values)
    together = trained.predict(values, observed, offset)
    alone = np.concatenate([trained.predict(values[i : i + 1], observed[i : i + 1], offset[i : i + 1]) for i in range(40)])
    print(f"alone and in a batch: {np.abs(alone - together).max():.1e} apart")
    assert alone == approx(together, abs=ALONE)
    assert np.abs(together - softmax(offset)).max() > 0.05  # it does say something
    assert trained.predict(values[:0], observed[:0], offset[:0]).shape == (0, 3)
    many = [np.concatenate([array] * 20) for array in (values, observed, offset)]  # more than are predicted at once
    assert trained.predict(*many) == approx(np.concatenate([together] * 20), abs=ALONE)


def test_twice_the_same_bytes(tmp_path):
    """Whatever torch was doing before, and it goes on as it was."""
    values, offset, outcomes, weights, _ = planted(150, 1, by_level)
    values[:3] = np.nan  # nothing known
    config = PatchConfig(**{**vars(SMALL), "dropout": 0.2})
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    one = fit(values, offset, outcomes, weights, seed=4, epochs=2, config=config)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == 2 and not torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.rand(10)
    two = fit(values, offset, outcomes, weights, seed=4, epochs=2, config=config)
    other = fit(values, offset, outcomes, weights, seed=5, epochs=2, config=config)
    assert bytes_of(one, tmp_path / "one") == bytes_of(two, tmp_path / "two") != bytes_of(other, tmp_path / "other")


def test_saved_and_loaded(learnt, tmp_path):
    trained, (values, offset) = learnt
    trained.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["patchtst.json", "patchtst.safetensors"]
    loaded = Trained.load(tmp_path)
    assert (loaded.config, loaded.seed, loaded.epoch, loaded.history) == (SMALL, 3, trained.epoch, trained.history)
    observed = observed_of(values)
    assert np.array_equal(loaded.predict(values, observed, offset), trained.predict(values, observed, offset))
    assert bytes_of(loaded, tmp_path / "again") == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no card on this machine")
def test_a_card_agrees_with_the_cpu(learnt):
    trained, (values, offset) = learnt
    observed = observed_of(values)
    assert trained.predict(values, observed, offset, device="cuda") == approx(trained.predict(values, observed, offset), abs=1e-4)


# What is wrong says so


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.zeros((4, EACH - 1, 3), np.float32)}, "values have the shape"),
        ({"values": np.full((4, EACH, 3), np.inf, np.float32)}, "infinite"),
        ({"offset": np.zeros((4, 2))}, "offset"),
        ({"offset": np.full((4, 3), -np.inf)}, "offset"),
        ({"outcomes": np.full(4, CENSORED)}, "outcomes"),
        ({"outcomes": np.zeros(3, np.int64)}, "expected one of each"),
        ({"weights": np.zeros(4)}, "weights"),
        ({"weights": np.array([1, -1, 1, 1.0])}, "weights"),
    ],
)
def test_what_cannot_be_learnt_from(change, message):
    good = {
        "values": np.zeros((4, EACH, 3), np.float32), "offset": np.zeros((4, 3)),
        "outcomes": np.array([BREAK, BOUNCE, BREAK, BOUNCE]), "weights": np.ones(4),
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        fit(**{**good, **change}, seed=0, epochs=1, config=SMALL)
    with pytest.raises(ValueError, match=message):
        fit(**good, valid=tuple({**good, **change}.values()), seed=0, epochs=1, config=SMALL)


def test_what_cannot_be_predicted(learnt):
    trained, (values, offset) = learnt
    with pytest.raises(ValueError, match="observed has the shape"):
        trained.predict(values, observed_of(values)[:3], offset)
    with pytest.raises(ValueError, match="offset"):
        trained.predict(values, observed_of(values), offset[:3])
    with pytest.raises(ValueError, match="values have the shape"):
        trained.predict(values[:, :, :2], observed_of(values), offset)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no card"):
            trained.predict(values, observed_of(values), offset, device="cuda")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalisation": "none"}, "normalisation 'none'"),
        ({"steps": (300, 121)}, "do not fit"),
        ({"steps": ()}, "do not fit"),
        ({"steps": (11,)}, "do not fit"),
        ({"width": 33}, "no multiple"),
        ({"heads": 0}, "below 1"),
    ],
)
def test_a_network_that_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        PatchConfig(**change)


def test_files_that_do_not_fit(learnt, tmp_path):
    trained, _ = learnt
    trained.save(tmp_path)
    weights, description = tmp_path / "patchtst.safetensors", tmp_path / "patchtst.json"
    good, told = weights.read_bytes(), json.loads(description.read_text())

    def refused(path, message):
        with pytest.raises(ValueError, match=message) as caught:
            Trained.load(tmp_path)
        assert str(path) in str(caught.value)

    for bad in (good[:-5], b"no tensors", b""):
        weights.write_bytes(bad)
        refused(weights, "not a safetensors file")
    weights.write_bytes(good)
    description.write_text(json.dumps({**told, "config": {**told["config"], "width": 10}}))
    refused(weights, "not of the shape")
    for bad in ("{", "[]", "{}", json.dumps({**told, "config": {**told["config"], "depth": 2}}), description.read_text()[:99]):
        description.write_text(bad)
        refused(description, "does not describe a PatchTST")
    description.unlink()
    with pytest.raises(FileNotFoundError, match=r"patchtst\.json"):
        Trained.load(tmp_path)


# Rows of gold/sequences


def gold_rows(n):
    """Sequences of n touches at 0 and 60 s as the table has them; the channels count up, the first two steps are unobserved."""
    each = sum(steps for _, steps in SCALES)
    rows = np.zeros((2 * n, each), SEQUENCES.dtype)
    rows["touch"], rows["elapsed"] = (np.arange(2 * n) // 2)[:, None], np.tile([0, 60], n)[:, None]
    rows["scale"] = np.repeat([scale for scale, _ in SCALES], [steps for _, steps in SCALES])
    rows["step"] = np.concatenate([np.arange(steps) for _, steps in SCALES])
    rows["observed"] = 1
    rows["observed"][:, :2] = 0
    for number, channel in enumerate(CHANNELS):
        rows[channel.name] = np.arange(2 * n * each).reshape(2 * n, each) + number / 16
        rows[channel.name][:, :2] = np.nan
    return rows.reshape(-1)


def test_sequence_arrays_by_hand():
    values, observed, touch, elapsed = sequence_arrays(gold_rows(3))
    assert values.shape == (6, 420, 16) and values.dtype == np.float32
    assert touch.tolist() == [0, 0, 1, 1, 2, 2] and elapsed.tolist() == [0, 60] * 3
    assert observed.dtype == bool and not observed[:, :2].any() and observed[:, 2:].all()
    assert np.isnan(values[:, :2]).all()
    assert values[1, 5].tolist() == [425 + number / 16 for number in range(16)]
    empty = sequence_arrays(gold_rows(0))
    assert [array.shape for array in empty] == [(0, 420, 16), (0, 420), (0,), (0,)]


def test_rows_that_are_no_sequences():
    rows = gold_rows(2)
    with pytest.raises(ValueError, match="no multiple of 420"):
        sequence_arrays(rows[:-1])
    with pytest.raises(ValueError, match=r"sequence 0 .*step"):
        sequence_arrays(np.roll(rows, 1))
    for name, value in (("touch", 7), ("elapsed", 15), ("scale", 5), ("step", 3)):
        changed = rows.copy()
        changed[430][name] = value
        with pytest.raises(ValueError, match=rf"sequence 1 \(touch 0, 60.0 s\): {name}"):
            sequence_arrays(changed)
    changed = rows.copy()
    changed[0]["spread"] = 1
    with pytest.raises(ValueError, match="not observed has a value"):
        sequence_arrays(changed)


def test_the_network_for_our_sequences():
    """About 20 thousand parameters; rows of gold go through as they are."""
    network = ClassNetwork(PatchConfig())
    assert 18_000 < sum(weight.numel() for weight in network.parameters()) < 22_000
    values, observed, touch, _ = sequence_arrays(gold_rows(2))
    offset = np.log(np.full((4, 3), 1 / 3))
    trained = fit(values, offset, np.array([0, 1, 2, 0]), np.ones(4), seed=0, epochs=1)
    assert trained.predict(values, observed, offset).sum(axis=1) == approx(1)
    assert Backbone(PatchConfig()).config.patches == (25, 10)
    assert len(touch) == 4


def test_scale_of_what_does_not_vary():
    """A channel that never moves, or is never known, is 0 after normalisation whatever it will be."""
    values, _ = noise(30, 0)
    values[:, :, 0], values[:, :, 1] = 5.0, np.nan
    backbone = Backbone(SMALL)
    backbone.measure(values)
    assert np.isinf(backbone.spread.numpy()[:, :2]).all()
    known = values[:, :48, 2][~np.isnan(values[:, :48, 2])].astype(float)
    assert backbone.centre.numpy()[0, 2] == approx(known.mean(), rel=1e-4)
    assert backbone.spread.numpy()[0, 2] == approx(known.std(), rel=1e-4)
    assert REACH == 5.0
