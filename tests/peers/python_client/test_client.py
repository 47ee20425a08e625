"""From a notebook to a server: each kind of model is pushed, decides, and says what the notebook says.

The models are trained on the simulator's examples (`offerd train --from simulator --rows-out`), so they name
features that the demo's catalog has.
"""

import copy
import json
import subprocess
import time
import urllib.request
import uuid

import lightgbm as lgb
import numpy as np
import offerd
import pandas as pd
import pytest
import server
import xgboost as xgb
from offerd.artifacts import artifact
from offerd.events import inputs_of, offers_of, request_inputs
from offerd.push import make_manifest
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

LIVE_MANIFEST = json.loads((server.ROOT / "models/propensity-linear/manifest.json").read_text())
OFFERS = offers_of(server.ROOT / "catalog/demo.toml")
TOLERANCE = 1e-6
PATIENCE_S = 20


@pytest.fixture(scope="session")
def frame(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    command = [server.program(), "train", "--from", "simulator", "--rows", "6000", "--rows-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


@pytest.fixture(scope="session")
def contract():
    return offerd.FeatureContract.from_manifest(LIVE_MANIFEST)


@pytest.fixture(scope="session")
def filled(contract):
    """The same for trainers that take no NaN."""
    return offerd.FeatureContract.of(offerd.Feature(f.name, f.source, f.categories, "zero") for f in contract.features)


@pytest.fixture(scope="session")
def admin(open_server):
    return offerd.Admin(f"http://{open_server.admin}")


def lightgbm_model(contract, frame):
    data = lgb.Dataset(contract.encode(frame), frame["converted"], feature_name=contract.names, categorical_feature=contract.category_columns)
    params = dict(objective="binary", num_leaves=8, min_data_in_leaf=50, verbose=-1, num_threads=1, seed=1)
    return lgb.train(params, data, 20)


def xgboost_model(contract, frame, **params):
    types = ["c" if f.categories is not None and params.get("booster") != "gblinear" else "q" for f in contract.features]
    data = xgb.DMatrix(contract.encode(frame), frame["converted"], feature_names=contract.names, feature_types=types, enable_categorical=True)
    return xgb.train(dict(objective="binary:logistic", nthread=1, seed=1, **params), data, 20)


def xgboost_classifier(contract, frame):
    types = ["c" if f.categories is not None else "q" for f in contract.features]
    model = xgb.XGBClassifier(n_estimators=15, max_depth=4, max_cat_to_onehot=1, feature_types=types, enable_categorical=True, n_jobs=1)
    return model.fit(contract.encode(frame), frame["converted"])


MODELS = {
    "lightgbm": (lightgbm_model, False),
    "lightgbm-forest": (
        lambda c, f: lgb.LGBMClassifier(boosting_type="rf", n_estimators=15, subsample=0.6, subsample_freq=1, verbose=-1, n_jobs=1)
        .fit(c.encode(f), f["converted"]),
        False,
    ),
    "xgboost": (lambda c, f: xgboost_model(c, f, max_depth=4, max_cat_to_onehot=1), False),
    "xgboost-dart": (lambda c, f: xgboost_model(c, f, booster="dart", rate_drop=0.3, max_depth=3), False),
    # Not scaled: most of the sum cancels out, and 32 bits show.
    "xgboost-linear": (lambda c, f: xgboost_model(c, f, booster="gblinear"), True),
    "xgboost-classifier": (xgboost_classifier, False),
    "forest": (lambda c, f: RandomForestClassifier(10, min_samples_leaf=20, random_state=1).fit(c.encode(f), f["converted"]), False),
    "histogram": (lambda c, f: HistGradientBoostingClassifier(max_iter=15, random_state=1).fit(c.encode(f), f["converted"]), False),
    "boosted": (lambda c, f: GradientBoostingClassifier(n_estimators=15, random_state=1).fit(c.encode(f), f["converted"]), True),
    "logistic": (lambda c, f: make_pipeline(StandardScaler(), LogisticRegression()).fit(c.encode(f), f["converted"]), True),
}


def ask(door):
    """A decision about somebody new, with everything that the models look at."""
    request = {
        "device": "mobile",
        "appointment": {"id": str(uuid.uuid4()), "phase": "en_route", "eta_seconds": 900},
        "customer": {"id": str(uuid.uuid4()), "features": {"tenure": 14, "Contract": "One year", "InternetService": "Fiber optic",
                                               "StreamingTV": "Yes", "MonthlyCharges": 74.5}},
        "triggers": [{"name": "map_viewed", "count": 3, "age_ms": 4200}],
        "placements": [{"id": "tracker_hero", "count": 1}, {"id": "map_card", "count": 2}, {"id": "technician_panel", "count": 1}],
    }  # fmt: skip
    call = urllib.request.Request(f"http://{door}/v1/decisions", json.dumps(request).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(call, timeout=10) as answer:
        return json.load(answer)


def recorded(admin, decision_id):
    """The record, once the journal has it: an answer does not wait for that."""
    last = time.monotonic() + PATIENCE_S
    while True:
        try:
            return admin.decision(decision_id)
        except offerd.OfferdError as error:
            assert error.status == 404 and time.monotonic() < last, error
            time.sleep(0.01)


@pytest.mark.parametrize("kind", MODELS)
def test_a_pushed_model_says_what_the_notebook_says(kind, frame, contract, filled, admin, open_server):
    make, needs_filling = MODELS[kind]
    used = filled if needs_filling else contract
    model = make(used, frame)
    url = f"http://{open_server.admin}"
    answer = offerd.push_model(model, used, frame=frame, url=url, name="propensity", version=kind, stage="shadow", by="notebook")
    assert answer["model"]["stage"] == "shadow", answer
    before = ask(open_server.public)["model"]
    assert before != f"propensity@{kind}", "a shadow decides nothing"
    admin.promote("propensity", kind, confirm=True, force="the numbers are compared, not the policies")
    decision = ask(open_server.public)
    assert decision["model"] == f"propensity@{kind}"
    record = recorded(admin, decision["decision_id"])
    record = record.get("record", record)
    scored, own = [], []
    for placement in record["placements"]:
        candidates = [c for c in placement["candidates"] if c.get("probability") is not None]
        shared = request_inputs(record, placement["id"])
        scored += [c["probability"] for c in candidates]
        own += [inputs_of(used, shared, OFFERS[c["offer"]]) for c in candidates]
    assert len(scored) > 3 and len(set(scored)) > 1
    np.testing.assert_allclose(scored, artifact(model, used).predict(used.encode(own))[1], rtol=0, atol=TOLERANCE)
    admin.rollback("propensity")
    assert ask(open_server.public)["model"] != f"propensity@{kind}"


def test_a_wrong_golden_row_is_refused_and_named(frame, contract, admin):
    made = artifact(lightgbm_model(contract, frame), contract)
    manifest = make_manifest(made, contract, frame, name="propensity", version="wrong-row")
    assert len(manifest["golden"]) >= 32
    assert any(None in row["features"] for row in manifest["golden"])
    forged = copy.deepcopy(manifest)
    forged["golden"][7]["probability"] += 1e-3
    with pytest.raises(offerd.OfferdError) as refused:
        admin.push(forged, made.content)
    assert refused.value.status in (400, 409, 422), refused.value
    assert "golden" in str(refused.value) and "7" in str(refused.value), refused.value
    # Neither stored nor in the way of the right one.
    assert all(model["version"] != "wrong-row" for model in admin.models())
    admin.push(manifest, made.content)
    assert any(model["version"] == "wrong-row" and model["stage"] == "shadow" for model in admin.models())


def test_a_broken_file_is_refused_with_its_place(frame, contract, admin):
    made = artifact(lightgbm_model(contract, frame), contract)
    made.content = made.content.replace(b"num_leaves=8", b"num_leaves=7", 1)
    manifest = make_manifest(made, contract, frame, name="propensity", version="broken")
    with pytest.raises(offerd.OfferdError) as refused:
        admin.push(manifest, made.content)
    assert refused.value.detail, refused.value.problem


def test_what_cannot_be_read_is_refused_before_anything_is_sent(frame, contract):
    with pytest.raises(TypeError, match="no reader for"):
        artifact(object(), contract)
    logistic = LogisticRegression(max_iter=5000).fit(np.nan_to_num(contract.encode(frame)), frame["converted"])
    with pytest.raises(ValueError, match="takes no NaN"):
        artifact(logistic, contract)
    with pytest.raises(ValueError, match="must begin with `offer.`"):
        offerd.Feature("price", "offer")
    with pytest.raises(offerd.OfferdError, match="no answer"):
        offerd.Admin("http://127.0.0.1:9", timeout=2).models()


def test_a_contract_from_a_frame_is_the_models_own(frame, contract):
    found = offerd.FeatureContract.from_frame(frame[contract.names].astype({"offer.class": "category"}))
    assert [(f.name, f.source) for f in found.features] == [(f.name, f.source) for f in contract.features]
    assert found.features[contract.names.index("offer.class")].categories == tuple(sorted(set(frame["offer.class"])))
    encoded = contract.encode(frame.head(50))
    assert encoded.shape == (50, len(contract.names))
    assert np.isnan(contract.encode([{"Contract": "Ten years"}])[0, contract.names.index("Contract")])
