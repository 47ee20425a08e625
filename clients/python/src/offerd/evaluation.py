"""How good is a model on what was logged, and what would its choices have earned?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .artifacts import artifact
from .contract import FeatureContract
from .events import Offers, decisions_of, inputs_of, outcomes_of, request_inputs

#: A probability of exactly 0 or 1 would cost infinitely much when wrong.
PROBABILITY_MIN = 1e-12


@dataclass(frozen=True)
class Evaluation:
    """Figures on joined events.

    Of ``rows`` offers seen, ``conversions`` converted. ``log_loss``, ``auc`` and ``ece`` (ten bins of equal size)
    are the model's; ``logged_log_loss``, ``logged_auc`` and ``logged_ece`` those of the probabilities that were logged.

    Of ``decisions`` with an offer at rank 1 that was seen, ``logged_value`` is the mean of what they earned
    (minor units). ``ips`` and ``snips`` estimate what the model's greedy policy would have earned: the candidate of
    the highest probability times value. ``ess`` is the effective number of decisions behind that, ``snips_se`` the
    standard error; ``weight_max_share`` how much of the sum of weights the largest one is. An estimate that rests on an
    ``ess`` of less than some hundreds tells nothing.
    """

    rows: int
    conversions: int
    log_loss: float
    auc: float
    ece: float
    logged_log_loss: float
    logged_auc: float
    logged_ece: float
    decisions: int
    logged_value: float
    ips: float
    snips: float
    snips_se: float
    ess: float
    weight_max_share: float


def evaluate(model: Any, events: Any, contract: FeatureContract, offers: Offers, *, since: Any = None) -> Evaluation:
    """Evaluates ``model`` on ``events`` (what ``read_events`` returns) since a point of time.

    ``model`` is a model that can be pushed, or a function from rows of shape (n, features) to probabilities of shape
    (n,). Use events that it was not trained on. ``offers`` is what ``offers_of`` returns.
    """
    import numpy as np
    import pandas as pd

    predict = _predictor(model, contract)
    outcomes = outcomes_of(events)
    recent = events if since is None else events[events["at"] >= pd.Timestamp(since)]
    inputs: list[dict[str, Any]] = []
    # Per offer seen: its row, the logged probability, the label.
    seen: list[tuple[int, float, bool]] = []
    # Per decision: the rows of candidates, which was chosen, propensity, reward; values of candidates.
    choices: list[tuple[range, int, float, float, list[float]]] = []
    for record in decisions_of(recent):
        for slot, placement in enumerate(record["placements"]):
            shared = request_inputs(record, placement["id"])
            for choice in placement["slate"]:
                happened = outcomes.get((record["id"], slot, choice["rank"]), set())
                if not happened & {"impression", "viewable", "conversion"} or choice["offer"] not in offers:
                    continue
                converted = "conversion" in happened and "reversal" not in happened
                seen.append((len(inputs), choice["probability"], converted))
                inputs.append(inputs_of(contract, shared, offers[choice["offer"]]))
                if choice["rank"] != 1:
                    continue
                rivals = _rivals(placement, choice, offers)
                start = len(inputs)
                inputs.extend(inputs_of(contract, shared, offers[rival]) for rival in rivals)
                values = [float(_value(offers[rival])) for rival in rivals]
                chosen = rivals.index(choice["offer"])
                choices.append((range(start, len(inputs)), chosen, choice["propensity"], converted * values[chosen], values))
    if not seen:
        raise ValueError("no offer was seen in these events")
    probabilities = np.asarray(predict(contract.encode(inputs)), dtype=float)
    labels = np.array([label for _, _, label in seen])
    own = probabilities[[row for row, _, _ in seen]]
    logged = np.array([p for _, p, _ in seen])
    greedy = [int(np.argmax(probabilities[list(rows)] * values)) for rows, _, _, _, values in choices]
    rewards = np.array([reward for _, _, _, reward, _ in choices])
    targets = np.array([float(pick == chosen) for pick, (_, chosen, _, _, _) in zip(greedy, choices)])
    propensities = np.array([p for _, _, p, _, _ in choices])
    return Evaluation(
        rows=len(seen), conversions=int(labels.sum()), decisions=len(choices),
        log_loss=log_loss(own, labels), auc=auc(own, labels), ece=ece(own, labels),
        logged_log_loss=log_loss(logged, labels), logged_auc=auc(logged, labels), logged_ece=ece(logged, labels),
        logged_value=float(rewards.mean()) if len(rewards) else 0.0, **off_policy(rewards, propensities, targets),
    )  # fmt: skip


def _predictor(model: Any, contract: FeatureContract) -> Callable[[Any], Any]:
    try:
        made = artifact(model, contract)
    except TypeError:
        if callable(model):
            return model  # type: ignore[no-any-return]
        raise
    return lambda rows: made.predict(rows)[1]


def _value(offer: Any) -> float:
    """What a conversion is worth, as the catalog says; 1 where a feature of that name hides it."""
    value = offer.get("margin", offer.get("value"))
    return float(value) if isinstance(value, (int, float)) else 1.0


def _rivals(placement: dict[str, Any], choice: dict[str, Any], offers: Offers) -> list[str]:
    """The offers that competed with the chosen one: those of its tier with a chance."""
    tier = offers[choice["offer"]].get("tier")
    rivals = [c["offer"] for c in placement["candidates"] if c.get("odds") and c["offer"] in offers]
    rivals = [offer for offer in rivals if offers[offer].get("tier") == tier]
    return rivals if choice["offer"] in rivals else [*rivals, choice["offer"]]


def off_policy(rewards: Any, propensities: Any, targets: Any) -> dict[str, float]:
    """What another policy would have earned, with the figures of ``offerd evaluate``.

    All three are of shape (n,): rewards, logged propensities above 0, and the probabilities with which the other policy would
    have made the same choices. Gives ``ips`` (mean of w r), ``snips`` (sum of w r over sum of w), ``snips_se`` (delta
    method), ``ess`` and ``weight_max_share``.
    """
    import numpy as np

    weights = np.asarray(targets, dtype=float) / np.asarray(propensities, dtype=float)
    rewards, rows = np.asarray(rewards, dtype=float), len(weights)
    total = float(weights.sum())
    if total == 0.0:
        return {"ips": 0.0, "snips": float("nan"), "snips_se": float("nan"), "ess": 0.0, "weight_max_share": 0.0}
    snips = float((weights * rewards).sum() / total)
    return {
        "ips": float((weights * rewards).mean()),
        "snips": snips,
        "snips_se": float(np.sqrt((weights**2 * (rewards - snips) ** 2).sum() * rows / max(rows - 1, 1)) / total),
        "ess": total**2 / float((weights**2).sum()),
        "weight_max_share": float(weights.max()) / total,
    }


def log_loss(probabilities: Any, labels: Any) -> float:
    """Mean of ``-ln`` of the probability given to what happened; both of shape (n,)."""
    import numpy as np

    given = np.where(labels, probabilities, 1.0 - probabilities)
    return float(-np.log(np.maximum(given, PROBABILITY_MIN)).mean())


def auc(probabilities: Any, labels: Any) -> float:
    """Area under the ROC curve, equal probabilities counting half; NaN where only one outcome happened."""
    import pandas as pd

    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = pd.Series(probabilities).rank().to_numpy()
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def ece(probabilities: Any, labels: Any, bins: int = 10) -> float:
    """Expected calibration error over bins of equal size."""
    import numpy as np

    order: Sequence[Any] = np.array_split(np.argsort(probabilities, kind="stable"), bins)
    gaps = (abs(probabilities[b].sum() - labels[b].sum()) for b in order if len(b))
    return float(sum(gaps) / len(labels))
