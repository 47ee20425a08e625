"""What `offerd export` writes, read by those it is written for: Vowpal Wabbit and obp (or vw-estimators)."""

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import vowpalwabbit
from estimators.bandits import ips, snips


def offerd(*arguments):
    command = [os.environ["OFFERD_BIN"], *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main(data):
    lines = offerd("export", "--data", data, "--format", "dsjson").splitlines()
    workspace = vowpalwabbit.Workspace("--dsjson --cb_explore_adf --epsilon 0.1 -q :: --quiet")
    rewarded = 0
    for line in lines:
        event = json.loads(line)
        assert abs(sum(event["p"]) - 1.0) < 1e-9 and event["a"][0] == event["_label_Action"], event
        rewarded += event["_label_cost"] < 0
        examples = workspace.parse(line)
        # One example that all actions share, and one for each action.
        assert len(examples) >= 1 + len(event["a"]), (len(examples), line)
        workspace.learn(examples)
        workspace.finish_example(examples)
    learnt = int(workspace.get_weighted_examples())
    workspace.finish()
    print(f"vowpalwabbit {vowpalwabbit.__version__}: {len(lines)} events read, {learnt} learnt, {rewarded} with a reward")
    assert lines and learnt == len(lines)

    table = offerd("export", "--data", data, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(table)))
    assert len(rows) == len(lines)
    estimators = {"ipw": ips.Estimator(), "snipw": snips.Estimator()}
    for row in rows:
        for estimator in estimators.values():
            estimator.add_example(float(row["pscore"]), float(row["reward"]), float(row["pi_e"]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        path.write_text(table)
        ours = json.loads(offerd("evaluate", "--log", path, "--json", "--bootstrap", "0"))
    for estimate in ours["estimates"]:
        if estimate["estimator"] in estimators:
            theirs = estimators[estimate["estimator"]].get()
            print(f"{estimate['estimator']:<8} offerd {estimate['value']:.12f}  vw-estimators {theirs:.12f}")
            assert abs(estimate["value"] - theirs) <= 1e-9 * max(1.0, abs(theirs))


if __name__ == "__main__":
    main(sys.argv[1])
