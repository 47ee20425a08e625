"""From a trained model to a version on a server, in one call."""

from __future__ import annotations

import datetime
import hashlib
import math
from typing import Any

from .admin import Admin, Json
from .artifacts import Artifact, artifact
from .contract import FeatureContract

#: The server asks for 32; with twice as many every input is missing in some row.
GOLDEN_ROWS = 64


def push_model(
    booster: Any,
    feature_contract: FeatureContract,
    *,
    frame: Any,
    url: str,
    name: str,
    version: str,
    stage: str | None = "shadow",
    percent: float | None = None,
    confirm: bool = False,
    calibration: Json | None = None,
    note: str | None = None,
    key: str | None = None,
    by: str | None = None,
    timeout: float = 300.0,
    force: str | None = None,
) -> Json:
    """Pushes a model and returns the server's answer.

    ``booster`` is a LightGBM or XGBoost booster (or its scikit-learn wrapper), or one of scikit-learn's models
    that ``offerd.artifacts`` knows. ``frame`` is a DataFrame of training rows, one column per input of the
    contract (categories as words), shape (n, features) with n >= 32: golden rows are taken from all over
    it, in every other one more value is missing, and in the last all are. ``calibration`` is the manifest's,
    for example ``{"kind": "platt", "a": 0.9, "b": -0.1}``; none by default. ``force`` is the reason to make it live
    although the log does not show that it earns as much as the live one.

    Raises ``OfferdError`` with the server's problem detail where it refuses: the failing row or node.
    """
    made = artifact(booster, feature_contract)
    manifest = make_manifest(
        made, feature_contract, frame, name=name, version=version, calibration=calibration, note=note
    )
    admin = Admin(url, key, timeout)
    return admin.push(manifest, made.content, stage=stage, percent=percent, confirm=confirm, by=by, force=force)


def make_manifest(
    made: Artifact,
    contract: FeatureContract,
    frame: Any,
    *,
    name: str,
    version: str,
    calibration: Json | None = None,
    note: str | None = None,
) -> Json:
    """The manifest of a model, with golden rows from ``frame``."""
    rows = golden_inputs(contract, contract.encode(frame))
    raw, probability = made.predict(rows)
    golden = [
        {"features": [None if math.isnan(v) else v for v in row], "raw": float(r), "probability": _calibrated(calibration, float(r), float(p))}
        for row, r, p in zip(rows.tolist(), raw, probability)
    ]
    manifest: Json = {
        "name": name,
        "version": version,
        "format": made.format,
        "target": "conversion",
        "features": [feature.manifest() for feature in contract.features],
        "calibration": calibration or {"kind": "none"},
        "golden": golden,
        "sha256": hashlib.sha256(made.content).hexdigest(),
        "trained_at": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {**manifest, "note": note} if note else manifest


def golden_inputs(contract: FeatureContract, rows: Any) -> Any:
    """Rows from all over ``rows`` of shape (n, features); in every other one more value is missing, in the last all."""
    import numpy as np

    if len(rows) < 32:
        raise ValueError(f"golden rows need a frame of at least 32 rows, found {len(rows)}")
    missing = np.array([feature.missing_value for feature in contract.features])
    golden = rows[np.linspace(0, len(rows) - 1, min(GOLDEN_ROWS, len(rows))).astype(int)].copy()
    for i in range(1, len(golden), 2):
        column = i // 2 % rows.shape[1]
        golden[i, column] = missing[column]
    golden[-1] = missing
    return golden


def _calibrated(calibration: Json | None, raw: float, probability: float) -> float:
    """What the server makes of a raw score; see docs/models.md."""
    kind = (calibration or {"kind": "none"})["kind"]
    if kind == "none":
        return probability
    assert calibration is not None
    if kind == "platt":
        # The log-odds of what the trainer says: its raw score where that is one.
        p = min(max(probability, 1e-300), 1.0)
        margin = math.log(p) - math.log1p(-p) if p < 1.0 else math.inf
        return 1.0 / (1.0 + math.exp(-(calibration["a"] * margin + calibration["b"])))
    if kind == "isotonic":
        import numpy as np

        return float(np.interp(raw, calibration["raw"], calibration["probability"]))
    raise ValueError(f"calibration must be none, platt or isotonic, found {kind!r}")
