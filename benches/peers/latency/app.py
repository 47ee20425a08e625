"""The usual Python stack doing the same: FastAPI, orjson, LightGBM.

usage: MODEL=FOLDER CATALOG=FILE uvicorn app:app

Reads the request, puts the customer's inputs beside those of every offer, scores all with Booster.predict,
takes the best and answers about as much as offerd does. No explorer, tokens, journal or validation: it is
given less to do.
"""

import json
import os
import pathlib
import tomllib

import lightgbm
import numpy
import orjson
from fastapi import FastAPI, Request, Response

folder = pathlib.Path(os.environ["MODEL"])
features = json.loads((folder / "manifest.json").read_text())["features"]
booster = lightgbm.Booster(model_file=str(folder / "artifact.txt"))
catalog = tomllib.loads(pathlib.Path(os.environ["CATALOG"]).read_text())["offer"]
shared = [f for f in features if f["source"] != "offer"]
own = [f["name"].removeprefix("offer.") for f in features if f["source"] == "offer"]
places = {f["name"]: {w: float(i) for i, w in enumerate(f["categories"])} for f in features if f["kind"] == "category"}
rows = numpy.zeros((len(catalog), len(features)))
rows[:, len(shared):] = [[offer["features"][name] for name in own] for offer in catalog]
app = FastAPI()


def value(feature, ask, triggers):
    name = feature["name"]
    match feature["source"]:
        case "customer":
            found = ask["customer"]["features"].get(name)
        case "appointment":
            found = ask["appointment"].get(name, ask["appointment"]["technician"].get(name))
        case _:
            trigger, what = name.rsplit(".", 1)
            found = triggers.get(trigger, {}).get(what)
    found = places[name].get(found) if feature["kind"] == "category" else found
    return numpy.nan if found is None else found


@app.post("/v1/decisions")
async def decide(request: Request):
    ask = orjson.loads(await request.body())
    triggers = {t["name"]: t for t in ask["triggers"]}
    rows[:, : len(shared)] = [value(f, ask, triggers) for f in shared]
    probability = booster.predict(rows, num_threads=1)
    scores = probability * [offer["value_minor"] for offer in catalog]
    best = int(scores.argmax())
    creative = catalog[best]["creatives"][0]
    answer = {"decision_id": "0193", "request_id": ask["request_id"], "epoch": 1, "model": "budget@1", "placements": [
        {"id": ask["placements"][0]["id"], "no_offer_reason": None, "offers": [
            {"offer_id": catalog[best]["id"], "rank": 1, "class": "service", "content": creative,
             "price": {"amount_minor": 0, "currency": "USD"}, "token": "t" * 110,
             "tracking": {"impression": "/v1/t/" + "t" * 110, "click": "/v1/t/" + "t" * 110},
             "score": float(scores[best]), "conversion_probability": float(probability[best])}]}],
        "ttl_ms": 45000, "refresh_on": ["phase"], "experiments": [], "degraded": []}
    return Response(orjson.dumps(answer), media_type="application/json")
