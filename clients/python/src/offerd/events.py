"""The server's log as tables: from Redis Streams, or from a file that ``offerd export`` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .contract import FeatureContract

#: Entries of a stream that are asked for at once.
PAGE_ENTRIES = 500
#: The longest wait for Redis, in seconds.
REDIS_PATIENCE_S = 10.0

Record = dict[str, Any]
Offers = Mapping[str, Mapping[str, Any]]


def read_records(source: str | Path) -> Iterator[Record]:
    """Every record of an NDJSON file, or of a fleet's streams (``redis://…``), ``test`` requests left out."""
    lines = _streams(str(source)) if str(source).startswith(("redis://", "rediss://", "unix://")) else _lines(Path(source))
    for line in lines:
        record = json.loads(line)
        # Snapshots tell replay what served; they are nobody's decision or event.
        if not record.get("test") and record.get("type") != "snapshot":
            yield record


def _lines(path: Path) -> Iterator[str | bytes]:
    with path.open("rb") as file:
        yield from (line for line in file if line.strip())


def _streams(url: str) -> Iterator[str | bytes]:
    import redis

    client = redis.Redis.from_url(url, socket_timeout=REDIS_PATIENCE_S, socket_connect_timeout=REDIS_PATIENCE_S)
    for stream in sorted(client.smembers("offerd:streams")):
        start: str | bytes = "-"
        while b":test:" not in stream:
            page = client.xrange(stream, min=start, max="+", count=PAGE_ENTRIES)
            for _, fields in page:
                yield fields[b"json"]
            if len(page) < PAGE_ENTRIES:
                break
            start = b"(" + page[-1][0]


def read_events(source: str | Path) -> Any:
    """The log as a DataFrame, one row per record, in the log's order.

    Columns: ``type``, ``id``, ``at`` (UTC timestamps), ``decision``, ``slot``, ``rank``, ``offer``, ``placement``,
    ``phase``, ``propensity``, ``model``, ``value_minor``, ``currency`` and ``record``, the whole record as a dict. A
    decision's ``decision`` is its own id; what it showed is in its record (see ``training_frame``).
    """
    import pandas as pd

    names = ("slot", "rank", "offer", "placement", "phase", "propensity", "model")
    rows = []
    for record in read_records(source):
        value = record.get("value") or {}
        decision = record["id"] if record["type"] == "decision" else record.get("decision")
        row = {"type": record["type"], "id": record["id"], "at": record["at"], "decision": decision}
        row.update((name, record.get(name)) for name in names)
        row.update(value_minor=value.get("amount_minor"), currency=value.get("currency"), record=record)
        rows.append(row)
    columns = ["type", "id", "at", "decision", *names, "value_minor", "currency", "record"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["at"] = pd.to_datetime(frame["at"], utc=True, format="ISO8601")
    return frame


def offers_of(catalog: str | Path) -> dict[str, dict[str, Any]]:
    """What a model may know of each offer of a catalog file (TOML or JSON), by offer id, without ``offer.``.

    A name that any offer declares hides the built-in one for all, as in the server. TOML needs Python 3.11.
    """
    text = Path(catalog).read_text()
    if text.lstrip().startswith("{"):
        document = json.loads(text)
    else:
        import tomllib

        document = tomllib.loads(text)
    offers = document.get("offer", [])
    declared = {name for offer in offers for name in offer.get("features", {})}
    known = {}
    for offer in offers:
        value = offer.get("value_minor", 0)
        built_in = {"id": offer["id"], "class": offer["class"], "tier": offer.get("tier", "auction"), "value": value, "margin": value}
        built_in["price_minor"] = offer.get("price_minor")
        known[offer["id"]] = {k: v for k, v in built_in.items() if k not in declared} | offer.get("features", {})
    return known


def training_frame(events: Any, contract: FeatureContract, offers: Offers, *, weight_max: float = 20.0) -> Any:
    """One row per offer that was shown and seen: the contract's inputs and what became of it.

    ``events`` is what ``read_events`` returns, ``offers`` what ``offers_of`` does. Columns: the contract's inputs
    (numbers, or words of pandas dtype ``category`` in the contract's order), then ``decision``, ``at``, ``slot``,
    ``rank``, ``offer``, ``propensity``, ``converted`` (bool, net of reversals), ``clicked`` (bool) and ``weight``,
    the inverse propensity up to ``weight_max`` with mean 1. Offers that nobody saw, answers that were cut short and
    customers who withhold measurement teach nothing and are left out; rows are sorted by time.
    """
    import pandas as pd

    outcomes = outcomes_of(events)
    rows, seen = [], set()
    for record in decisions_of(events):
        if record["id"] in seen:
            continue
        seen.add(record["id"])
        for slot, placement in enumerate(record["placements"]):
            shared = None
            for choice in placement["slate"]:
                happened = outcomes.get((record["id"], slot, choice["rank"]), set())
                if not happened & {"impression", "viewable", "conversion"} or choice["offer"] not in offers:
                    continue
                shared = shared or request_inputs(record, placement["id"])
                row = {**inputs_of(contract, shared, offers[choice["offer"]])}
                row.update(
                    decision=record["id"], at=record["at"], slot=slot, rank=choice["rank"], offer=choice["offer"],
                    propensity=choice["propensity"], clicked="click" in happened,
                    converted="conversion" in happened and "reversal" not in happened,
                )  # fmt: skip
                rows.append(row)
    columns = [*contract.names, "decision", "at", "slot", "rank", "offer", "propensity", "clicked", "converted"]
    frame = pd.DataFrame(rows, columns=columns)
    for feature in contract.features:
        if feature.categories is not None:
            frame[feature.name] = pd.Categorical(frame[feature.name], categories=list(feature.categories))
        else:
            frame[feature.name] = pd.to_numeric(frame[feature.name], errors="coerce").astype(float)
    frame["at"] = pd.to_datetime(frame["at"], utc=True, format="ISO8601")
    weight = (1.0 / frame["propensity"]).clip(upper=weight_max)
    frame["weight"] = weight / weight.mean()
    return frame.sort_values(["at", "decision"], kind="stable").reset_index(drop=True)


def decisions_of(events: Any) -> Iterator[Record]:
    """The records of decisions that may teach: measured, and not cut short. Without a model the prior
    answered, which is no failure."""
    for record in events.loc[events["type"] == "decision", "record"]:
        if record["measured"] and set(record["degraded"]) <= {"prior_only"}:
            yield record


def outcomes_of(events: Any) -> dict[tuple[str, int, int], set[str]]:
    """The types of events by decision, placement (its place in the request) and rank."""
    told = events[(events["type"] != "decision") & events["rank"].notna()]
    outcomes: dict[tuple[str, int, int], set[str]] = {}
    for decision, slot, rank, kind in zip(told["decision"], told["slot"], told["rank"], told["type"]):
        outcomes.setdefault((decision, int(slot), int(rank)), set()).add(kind)
    return outcomes


def request_inputs(record: Record, placement: str) -> dict[str, Any]:
    """What a model may know of a request, by name, as the server's inputs are called.

    Not ``hour`` and ``weekday``, which depend on the operator's time zone.
    """
    request = record["request"]
    technician = request.get("technician") or {}
    open_issue, payment_hardship, last_rating = request["care"]
    inputs: dict[str, Any] = dict(request["features"])
    for name, count, age_ms in request["triggers"]:
        inputs[f"{name}.count"], inputs[f"{name}.age_ms"] = count, age_ms
    for name in ("phase", "job_type", "eta_seconds", "delay_seconds", "reschedules", "channel", "device", "locale"):
        inputs[name] = request.get(name)
    inputs.update(slack_minutes=technician.get("slack_minutes"), placement=placement)
    inputs.update(open_issue=open_issue, payment_hardship=payment_hardship, last_rating=last_rating)
    return inputs


def inputs_of(contract: FeatureContract, request: Mapping[str, Any], offer: Mapping[str, Any]) -> dict[str, Any]:
    """The contract's inputs of one candidate."""
    row: dict[str, Any] = {}
    for feature in contract.features:
        if feature.source == "offer":
            row[feature.name] = offer.get(feature.name.removeprefix("offer."))
        else:
            # A trigger that did not happen happened 0 times.
            default = 0 if feature.name.endswith(".count") else None
            row[feature.name] = request.get(feature.name, default)
    return row
