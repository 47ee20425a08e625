"""Tables from a log, and estimates against sums by hand."""

import json
import os
import subprocess

import numpy as np
import offerd
import pytest
from offerd.evaluation import auc, ece, log_loss

CONTRACT = offerd.FeatureContract.of([offerd.Feature("tenure"), offerd.Feature("map_viewed.count", "trigger"), offerd.Feature("offer.price", "offer")])
OFFERS = {"a": {"tier": "auction", "value": 100, "price": 1.0}, "b": {"tier": "auction", "value": 300, "price": 9.0}}


def decision(number, shown, propensity, **changes):
    choice = {"offer": shown, "creative": "c", "rank": 1, "probability": 0.02, "score": 1.0, "propensity": propensity, "explored": False}
    other = {"a": "b", "b": "a"}[shown]
    request = {"features": [["tenure", number]], "triggers": [], "care": [False, False, None], "phase": "en_route"}
    placement = {"id": "hero", "slate": [choice],
                 "candidates": [{"offer": shown, "probability": 0.02, "odds": propensity},
                                {"offer": other, "probability": 0.01, "odds": 1 - propensity},
                                {"offer": "gone", "excluded": "ended"}]}  # fmt: skip
    record = {"v": 1, "type": "decision", "id": f"d{number}", "at": f"2026-11-21T12:00:{number:02}.000Z", "test": False, "measured": True,
              "degraded": [], "request": request, "placements": [placement]}  # fmt: skip
    return {**record, **changes}


def event(kind, number, test=False):
    return {"v": 1, "type": kind, "id": f"{kind}{number}", "at": f"2026-11-21T12:01:{number:02}.000Z", "decision": f"d{number}", "slot": 0,
            "rank": 1, "offer": "a", "propensity": 0.5, "test": test}  # fmt: skip


@pytest.fixture
def events(tmp_path):
    records = [
        {"v": 1, "type": "snapshot", "at": "2026-11-21T11:00:00.000Z"},
        decision(1, "a", 0.8), event("impression", 1), event("conversion", 1),
        decision(2, "b", 0.2), event("viewable", 2), event("conversion", 2), event("reversal", 2),
        decision(3, "b", 0.2), event("impression", 3), event("click", 3), event("conversion", 3),
        decision(4, "a", 0.01), event("impression", 4),
        decision(5, "a", 0.8),
        decision(6, "a", 0.8, measured=False), event("impression", 6),
        decision(7, "a", 0.8, degraded=["model_deadline"]), event("impression", 7),
        decision(8, "a", 0.8, test=True), event("impression", 8, test=True),
    ]  # fmt: skip
    path = tmp_path / "log.ndjson"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return offerd.read_events(path)


def test_one_row_per_offer_seen(events):
    assert len(events) == 18 and str(events["at"].dtype).endswith("UTC]")
    frame = offerd.training_frame(events, CONTRACT, OFFERS, weight_max=20)
    assert frame["decision"].tolist() == ["d1", "d2", "d3", "d4"]
    assert frame["converted"].tolist() == [True, False, True, False]
    assert frame["clicked"].tolist() == [False, False, True, False]
    assert frame["offer.price"].tolist() == [1.0, 9.0, 9.0, 1.0]
    assert frame["map_viewed.count"].tolist() == [0.0] * 4
    raw = np.array([1.25, 5.0, 5.0, 20.0])
    np.testing.assert_allclose(frame["weight"], raw / raw.mean())


def test_estimates_are_the_closed_forms(events):
    # Says 0.1 of everything: greedy takes the dearer one, b, which was drawn twice with 0.2.
    found = offerd.evaluate(lambda rows: np.full(len(rows), 0.1), events, CONTRACT, OFFERS)
    assert (found.rows, found.conversions, found.decisions) == (4, 2, 4)
    assert found.logged_value == pytest.approx((100 + 300) / 4)
    assert found.ips == pytest.approx(300 / 0.2 / 4)
    assert found.snips == pytest.approx(150.0)
    assert found.ess == pytest.approx(2.0)
    assert found.log_loss == pytest.approx(-(np.log(0.1) + np.log(0.9)) / 2)
    assert offerd.evaluate(lambda rows: rows[:, 2] / 100, events, CONTRACT, OFFERS, since="2026-11-21T12:00:03Z").rows == 2


def test_figures_by_hand():
    labels = np.array([False, True, False, True])
    assert auc(np.array([0.1, 0.9, 0.2, 0.8]), labels) == 1.0
    assert auc(np.full(4, 0.5), labels) == 0.5
    assert log_loss(np.full(4, 0.5), labels) == pytest.approx(np.log(2))
    assert ece(np.array([0.25, 0.75, 0.25, 0.75]), labels) == pytest.approx(0.25)
    assert offerd.off_policy(np.ones(3), np.ones(3), np.zeros(3))["ess"] == 0.0


def test_the_command_says_the_same(tmp_path):
    random = np.random.default_rng(5)
    propensities = random.uniform(0.05, 1.0, 500)
    rewards, targets = random.binomial(1, 0.1, 500) * random.uniform(1, 9, 500), random.uniform(0, 1, 500)
    log = tmp_path / "log.csv"
    rows = zip(rewards.tolist(), propensities.tolist(), targets.tolist())
    log.write_text("reward,pscore,pi_e\n" + "".join(f"{r!r},{p!r},{t!r}\n" for r, p, t in rows))
    command = [os.environ["OFFERD_BIN"], "evaluate", "--log", str(log), "--json", "--bootstrap", "0"]
    figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    said = {estimate["estimator"]: estimate for estimate in figures["estimates"]}
    found = offerd.off_policy(rewards, propensities, targets)
    assert found["ips"] == pytest.approx(said["ipw"]["value"], rel=1e-12)
    assert found["snips"] == pytest.approx(said["snipw"]["value"], rel=1e-12)
    assert found["snips_se"] == pytest.approx(said["snipw"]["standard_error"], rel=1e-9)
    assert found["ess"] == pytest.approx(figures["weights"]["effective"], rel=1e-12)
    assert found["weight_max_share"] == pytest.approx(figures["weights"]["max_share"], rel=1e-12)
