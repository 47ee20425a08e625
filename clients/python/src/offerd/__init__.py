"""The way from a notebook to an offerd server, and back.

    contract = FeatureContract.from_frame(frame, sources={"phase": "appointment"})
    push_model(booster, contract, frame=frame, url="http://127.0.0.1:8081", name="propensity", version="7")

``push_model`` writes the manifest, takes golden rows from the training frame and sends both; the server
refuses what it cannot reproduce to 1e-6. ``read_events`` and ``training_frame`` turn the server's log into a
table of examples, ``evaluate`` compares a model with the policy that was logged.
"""

from .admin import Admin, OfferdError
from .contract import Feature, FeatureContract
from .evaluation import Evaluation, evaluate, off_policy
from .events import offers_of, read_events, training_frame
from .push import push_model

__all__ = [
    "Admin",
    "Evaluation",
    "Feature",
    "FeatureContract",
    "OfferdError",
    "evaluate",
    "off_policy",
    "offers_of",
    "push_model",
    "read_events",
    "training_frame",
]
