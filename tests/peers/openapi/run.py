"""schemathesis against `/openapi.json`: nothing may answer other than the description says.

The server has keys, so that what asks for one can be told from what does not. Takes arguments for
schemathesis itself, such as `--max-examples 2000`.
"""

import json
import os
import pathlib
import subprocess
import sys

import clients
import server

FOLDER = server.ROOT / "target/peers-schemathesis"
SEED = "20261121"

# Enough to break what is broken, in seconds, and in a minute on a machine that is busy with other things.
EXAMPLES = os.environ.get("PEERS_EXAMPLES", "120")

# Every check but these runs.
SWITCHED_OFF = {
    "positive_data_acceptance":
        "runs as `positive_data_acceptance_but_for_rules_beyond_schemas` in hooks.py",
    "use_after_free": "nothing can be deleted on the public port",
    "ensure_resource_availability": "nothing can be created on the public port",
    "object_level_authorization": "keys own no objects",
}


def good_tokens(running) -> dict[str, list[str]]:
    """Tokens that the server made, by what they are for."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {running.keys['secret']}"}

    def post(path, body):
        status, _, answer = clients.call(running.public, "POST", path, json.dumps(body), headers)
        assert status == 200, answer
        return json.loads(answer)

    # An offer with an address to lead to, and one without.
    request = {"test": True, "appointment": {"phase": "en_route"}, "placements": [{"id": "tracker_hero"}]}
    asked = [request, request | {"customer": {"care": {"open_issue": True}}}]
    offers = [post("/v1/decisions", r)["placements"][0]["offers"][0] for r in asked]
    tracking = [path for offer in offers for path in offer["tracking"].values()]
    return {
        "offer": [offer["token"] for offer in offers],
        "tracking": [path.removeprefix("/v1/t/") for path in tracking],
        "context": [post("/v1/context", {"customer": {"id": "c-1"}})["token"]],
    }


def main() -> int:
    with server.running(keyed=True) as running:
        arguments = [
            "run", f"http://{running.public}/openapi.json",
            "--header", f"Authorization: Bearer {running.keys['secret']}",
            "--checks", "all", "--exclude-checks", ",".join(SWITCHED_OFF),
            "--seed", SEED, "--max-examples", EXAMPLES, "--generation-database", "none",
            "--continue-on-failure", "--no-color", *sys.argv[1:],
        ]
        program = pathlib.Path(sys.executable).with_name("schemathesis")
        environment = os.environ | {
            "SCHEMATHESIS_HOOKS": "openapi.hooks",
            "PEERS_GOOD": json.dumps(good_tokens(running)),
        }
        # What it notes down there is for `schemathesis replay` in the same place.
        FOLDER.mkdir(parents=True, exist_ok=True)
        return subprocess.run([program, *arguments], cwd=FOLDER, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
