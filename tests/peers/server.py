"""A real offerd on free ports, with a data folder, a catalog and keys of its own.

The catalog is the demo's with one change: nothing is drawn by chance, so that one question has one
answer and the doors can be compared.
"""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_S_MAX = 60
STOP_S_MAX = 30


@dataclass
class Server:
    """Where it listens, as `host:port`, its data folder, and the keys it knows; none unless asked for."""

    public: str
    admin: str
    data: pathlib.Path
    keys: dict[str, str] = field(default_factory=dict)


def program() -> str:
    return os.environ.get("OFFERD_BIN", str(ROOT / "target/debug/offerd"))


def deterministic_catalog() -> str:
    """The demo's catalog with every explorer, the global one and placements' own, set to the best."""
    text = (ROOT / "catalog/demo.toml").read_text()
    best = '[explorer]\nkind = "deterministic"\n\n'
    text, tables = re.subn(r"^\[explorer\]\n(?:(?!\[).*\n)*", best, text, flags=re.MULTILINE)
    text, own = re.subn(r"^explorer = \{.*\}\n", "", text, flags=re.MULTILINE)
    assert tables == 1 and own >= 1, "the demo's catalog is written otherwise than this expects"
    return text


def new_key(*kind: str) -> dict:
    made = subprocess.run([program(), "keys", "new", *kind, "--json"], check=True, capture_output=True)
    return json.loads(made.stdout)


@contextlib.contextmanager
def running(settings: str = "", keyed: bool = False):
    """Starts a server and stops it; `settings` is TOML for its configuration file."""
    with tempfile.TemporaryDirectory(prefix="offerd-peers-") as folder:
        folder = pathlib.Path(folder)
        catalog, config = folder / "catalog.toml", folder / "offerd.toml"
        catalog.write_text(deterministic_catalog())
        keys = {}
        if keyed:
            origin = "https://shop.example"
            made = {
                "secret": new_key("secret"),
                "page": new_key("publishable", "--origin", origin),
                "app": new_key("publishable"),
                "admin": new_key("admin"),
            }
            keys = {name: key["key"] for name, key in made.items()}
            settings += f"""
[auth]
secret_keys = ["{made['secret']['digest']}"]
admin_keys = ["{made['admin']['digest']}"]
publishable_keys = [
    {{ digest = "{made['page']['digest']}", origins = ["{origin}"] }},
    {{ digest = "{made['app']['digest']}" }},
]
"""
        config.write_text(settings)
        arguments = ["serve", "--config", config, "--catalog", catalog, "--data", folder / "data",
                     "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        with open(folder / "log", "w+") as log:
            child = subprocess.Popen([program(), *map(str, arguments)], stdout=subprocess.PIPE,
                                     stderr=log, text=True, cwd=folder)
            # A server that hangs at start is killed, which ends the reading below.
            watchdog = threading.Timer(START_S_MAX, child.kill)
            watchdog.start()
            printed = ""
            for line in child.stdout:
                printed += line
                if "operators" in line:
                    break
            watchdog.cancel()
            found = dict(re.findall(r"(decisions|operators) +http://([\d.]+:\d+)/", printed))
            if len(found) < 2:
                child.kill()
                log.seek(0)
                raise RuntimeError(f"{program()} did not start:\n{printed}{log.read()}")
            try:
                yield Server(found["decisions"], found["operators"], folder / "data", keys)
            finally:
                child.terminate()
                code = child.wait(STOP_S_MAX)
                child.stdout.close()
            assert code == 0, f"offerd left with {code}"
