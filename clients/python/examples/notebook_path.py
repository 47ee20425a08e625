"""From a server's log to a promoted model: train LightGBM, push it as shadow, compare, promote.

    offerd export --data ./data > log.ndjson
    python notebook_path.py --log log.ndjson --catalog catalog/demo.toml --url http://127.0.0.1:8081

Needs `pip install ./clients/python[events,lightgbm]`. The log may also be `redis://HOST:PORT`. Each `# %%` begins a
notebook's cell.
"""

# %% What to work with
import argparse
import datetime
import sys

import lightgbm as lgb
import offerd

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("--log", required=True, help="a file of `offerd export`, or redis://HOST:PORT")
arguments.add_argument("--catalog", required=True, help="the catalog file")
arguments.add_argument("--url", default="http://127.0.0.1:8081", help="the server's admin address")
arguments.add_argument("--name", default="propensity")
arguments.add_argument("--version", default=datetime.datetime.now().strftime("%Y-%m-%d.%H%M%S"))
arguments.add_argument("--promote", choices=["if-better", "always", "never"], default="if-better")
args = arguments.parse_args()

# %% What happened
events = offerd.read_events(args.log)
offers = offerd.offers_of(args.catalog)
print(events["type"].value_counts().to_string())

# %% What the model may look at: here the inputs that the server knows for sure. `FeatureContract.from_frame`
# makes one of a table of your own.
PHASES = ("scheduled", "day_of", "en_route", "arriving", "on_site", "completed", "feedback")
CLASSES = ("care", "service", "upsell", "partner", "content")
CONTRACTS = ("Month-to-month", "One year", "Two year")
Feature = offerd.Feature
contract = offerd.FeatureContract.of(
    [
        Feature("tenure"),
        Feature("MonthlyCharges"),
        Feature("Contract", categories=CONTRACTS),
        Feature("InternetService", categories=("DSL", "Fiber optic", "No")),
        Feature("phase", "appointment", PHASES),
        Feature("eta_seconds", "appointment"),
        Feature("map_viewed.count", "trigger"),
        Feature("offer.class", "offer", CLASSES),
        Feature("offer.price", "offer"),
        Feature("offer.complexity", "offer"),
    ]
)

# %% One row per offer that was shown and seen, oldest first; the newest fifth is for measuring
frame = offerd.training_frame(events, contract, offers)
cut = int(len(frame) * 0.8)
train, since = frame.iloc[:cut], frame["at"].iloc[cut]
print(f"{len(frame)} offers seen, {int(frame['converted'].sum())} converted")
if train["converted"].sum() < 50:
    sys.exit("fewer than 50 conversions to train on: drive more visits first")

# %% Train. Small and slow: a log of this size has no more to tell.
params = dict(objective="binary", num_leaves=8, learning_rate=0.05, min_data_in_leaf=100, cat_smooth=50, verbose=-1, seed=7, num_threads=1)
data = lgb.Dataset(
    contract.encode(train), train["converted"], weight=train["weight"],
    feature_name=contract.names, categorical_feature=contract.category_columns,
)  # fmt: skip
booster = lgb.train(params, data, 80)

# %% Compare, on what it has not seen
found = offerd.evaluate(booster, events, contract, offers, since=since)
print(f"held out: {found.rows} offers seen, {found.conversions} converted")
print(f"  log-loss {found.log_loss:.5f}   logged {found.logged_log_loss:.5f}")
print(f"  AUC      {found.auc:.4f}    logged {found.logged_auc:.4f}")
print(f"  ECE      {found.ece:.5f}   logged {found.logged_ece:.5f}")
print(f"  value per decision {found.snips:.2f} +- {1.96 * found.snips_se:.2f} (SNIPS of its greedy choice, ESS {found.ess:.0f})")
print(f"  earned             {found.logged_value:.2f}")

# %% Push as shadow: it scores every request beside the live model, is logged, and decides nothing
answer = offerd.push_model(booster, contract, frame=train, url=args.url, name=args.name, version=args.version, stage="shadow", note="notebook_path.py")
print(f"{args.name}@{args.version} is {answer['model']['stage']}")

# %% Promote
admin = offerd.Admin(args.url)
better = found.log_loss < found.logged_log_loss
if args.promote == "always" or (args.promote == "if-better" and better):
    # The server judges it too, on its own log: what it is not sure of becomes live only with a reason.
    force = "notebook_path.py --promote always" if args.promote == "always" else None
    try:
        answer = admin.promote(args.name, args.version, confirm=True, force=force)
        print(f"{args.name}@{args.version} is {answer['model']['stage']}; back with Admin(url).rollback({args.name!r})")
    except offerd.OfferdError as error:
        print(f"not promoted: {error}")
else:
    print("not promoted: " + ("as asked" if better else "its log-loss is no better than that of the probabilities that were logged"))
