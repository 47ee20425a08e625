"""offerd evaluate beside obp and vw-estimators, on the Open Bandit sample and on made-up slates."""

import csv
import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from estimators.bandits import ips, snips

try:
    import obp.ope as obp
except ImportError:
    obp = None

OPE = Path(os.environ["OFFERD_SHARED"]) / "data" / "ope"
TOLERANCE = 1e-9
#: Our names, those of the recorded values, and the estimators of obp.
NAMES = {
    "rm": ("rm", lambda: obp.ReplayMethod()),
    "ipw": ("ipw", lambda: obp.InverseProbabilityWeighting()),
    "snipw": ("snipw", lambda: obp.SelfNormalizedInverseProbabilityWeighting()),
    "ipw-clip=10": ("ipw_clip10", lambda: obp.InverseProbabilityWeighting(lambda_=10.0)),
    "ipw-clip=5": ("ipw_clip5", lambda: obp.InverseProbabilityWeighting(lambda_=5.0)),
    "dm": ("dm", lambda: obp.DirectMethod()),
    "dr": ("dr", lambda: obp.DoublyRobust()),
    "dr-clip=5": ("dr_clip5", lambda: obp.DoublyRobust(lambda_=5.0)),
    "sndr": ("sndr", lambda: obp.SelfNormalizedDoublyRobust()),
    "switch-dr=5": ("switch-dr_5", lambda: obp.SwitchDoublyRobust(lambda_=5.0)),
    "dr-os=10": ("dr-os_10", lambda: obp.DoublyRobustWithShrinkage(lambda_=10.0)),
    "dr-os=100": ("dr-os_100", lambda: obp.DoublyRobustWithShrinkage(lambda_=100.0)),
    "sg-ipw=0.01": ("sg-ipw_0.01", lambda: obp.SubGaussianInverseProbabilityWeighting(lambda_=0.01)),
    "sg-dr=0.01": ("sg-dr_0.01", lambda: obp.SubGaussianDoublyRobust(lambda_=0.01)),
}

failures = 0


def offerd(*arguments):
    command = [os.environ["OFFERD_BIN"], "evaluate", "--json", "--bootstrap", "100", *map(str, arguments)]
    figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {named(estimate): estimate["value"] for estimate in figures["estimates"]}


def named(estimate):
    parameter = estimate.get("parameter")
    return estimate["estimator"] + (f"={parameter:g}" if parameter else "")


def line(name, ours, **others):
    global failures
    told = []
    for who, theirs in others.items():
        off = abs(ours - theirs) / abs(theirs) if theirs else abs(ours)
        failures += off > TOLERANCE
        told.append(f"{who} {theirs:.15f} ({off:.1e}{' WRONG' if off > TOLERANCE else ''})")
    print(f"  {name:<12} {ours:.15f}  {'  '.join(told)}")


def campaign(name):
    files = [OPE / f"ope_{name}{rest}" for rest in ("_log.csv", "_action_dist.csv", "_qhat.csv.gz")]
    asked = [word for estimator in NAMES for word in ("--estimator", estimator)]
    ours = offerd("--log", files[0], "--action-dist", files[1], "--qhat", files[2], *asked)
    recorded = json.loads((OPE / f"ope_{name}.json").read_text())["values"]
    with files[0].open() as file:
        rows = list(csv.DictReader(file))
    action, position = (np.array([int(row[c]) for row in rows]) for c in ("action", "position"))
    reward, pscore, pi_e = (np.array([float(row[c]) for row in rows]) for c in ("reward", "pscore", "pi_e"))
    print(f"\n{name}: {len(rows)} rows, {int(reward.sum())} clicks")
    theirs = {}
    if obp:
        odds = np.loadtxt(files[1], delimiter=",", skiprows=1)[:, 1:]
        with gzip.open(files[2], "rt") as file:
            qhat = np.loadtxt(file, delimiter=",")
        given = dict(
            reward=reward, action=action, position=position, pscore=pscore,
            action_dist=np.repeat(odds[None], len(rows), 0),
            # obp looks at the logged position only, which is the one the answers are for.
            estimated_rewards_by_reg_model=np.repeat(qhat[:, :, None], odds.shape[1], 2),
        )  # fmt: skip
        theirs = {ours: make().estimate_policy_value(**given) for ours, (_, make) in NAMES.items()}
    vw = {"ipw": ips.Estimator(), "snipw": snips.Estimator()}
    for estimator in vw.values():
        for row in zip(pscore, reward, pi_e):
            estimator.add_example(*map(float, row))
    for estimator, (reference, _) in NAMES.items():
        others = {"recorded": recorded[reference]}
        if obp:
            others["obp"] = theirs[estimator]
        if estimator in vw:
            others["vw-estimators"] = vw[estimator].get()
        line(estimator, ours[estimator], **others)


def slates(count=5_000, length=3, items=6):
    """Slates drawn rank by rank, judged by another policy of the same kind, against obp's slate estimators.

    A rank's own odds are taken to be those of its item at the first rank: what is compared is arithmetic.
    """
    random = np.random.default_rng(7)
    logged, asked = (random.dirichlet(np.ones(items)) * 0.7 + 0.3 / items for _ in range(2))
    rows = []
    for slate in range(count):
        chosen, odds = [], [1.0, 1.0]
        for rank in range(length):
            left = [item for item in range(items) if item not in chosen]
            each = [policy[left] / policy[left].sum() for policy in (logged, asked)]
            place = random.choice(len(left), p=each[0])
            odds = [before * now[place] for before, now in zip(odds, each)]
            chosen.append(left[place])
            item = chosen[-1]
            rows.append([slate, rank, int(random.random() < 0.05 + 0.05 * item), *odds, logged[item], asked[item]])
    table = np.array(rows)
    last = table[length - 1 :: length]
    joint = np.repeat(last[:, 3:5], length, 0)
    twins = [("pscore", joint), ("pscore_cascade", table[:, 3:5]), ("pscore_item_position", table[:, 5:7])]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slates.csv"
        names = ["slate_id", "position", "reward"] + [p + n for n, _ in twins for p in ("", "evaluation_policy_")]
        columns = [table[:, :3], *(pair for _, pair in twins)]
        lines = [",".join([*(str(int(v)) for v in row[:3]), *(repr(float(v)) for v in row[3:])]) for row in np.hstack(columns)]
        path.write_text("\n".join([",".join(names), *lines]) + "\n")
        ours = offerd("--slates", path)
    print(f"\n{count} slates of {length}")
    ids, positions, reward = table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2]
    kinds = {
        "sips": ("SlateStandardIPS", joint), "snsips": ("SelfNormalizedSlateStandardIPS", joint),
        "iips": ("SlateIndependentIPS", table[:, 5:7]), "sniips": ("SelfNormalizedSlateIndependentIPS", table[:, 5:7]),
        "rips": ("SlateRewardInteractionIPS", table[:, 3:5]), "snrips": ("SelfNormalizedSlateRewardInteractionIPS", table[:, 3:5]),
    }  # fmt: skip
    suffix = {"sips": "", "iips": "_item_position", "rips": "_cascade"}
    for name, (kind, pair) in kinds.items():
        last = suffix[name.removeprefix("sn")]
        given = {"pscore" + last: pair[:, 0], "evaluation_policy_pscore" + last: pair[:, 1]}
        theirs = getattr(obp, kind)(len_list=length)
        value = theirs.estimate_policy_value(slate_id=ids, reward=reward, position=positions, **given)
        line(name, ours[name], obp=value)


if not OPE.is_dir():
    sys.exit(f"there is no {OPE}: set OFFERD_SHARED")
if obp is None:
    print("NOTE: obp is not installed here (0.5.7 needs Python 3.8 to 3.10): compared with its recorded values only")
for name in ("men", "women"):
    campaign(name)
if obp:
    slates()
print(f"\n{'all the same' if not failures else f'{failures} differ'} (tolerance {TOLERANCE})")
sys.exit(bool(failures))
