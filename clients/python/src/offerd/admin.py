"""The admin port over HTTP, with nothing but the standard library."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


class OfferdError(Exception):
    """The server said no (RFC 9457), or nobody answered (``status`` 0).

    ``detail`` says what is wrong, ``field`` where: for a model the failing row or node.
    """

    def __init__(self, status: int, problem: Json) -> None:
        self.status = status
        self.problem = problem
        self.title = str(problem.get("title") or "refused")
        self.detail = str(problem.get("detail") or "")
        self.field = problem.get("field")
        where = f"{self.field}: " if self.field else ""
        super().__init__(f"{self.title} ({status}): {where}{self.detail}")


@dataclass
class Admin:
    """One server's admin port.

    ``url`` is such as ``http://127.0.0.1:8081``; ``key`` an admin key where the server asks for one (else
    taken from ``OFFERD_ADMIN_KEY``); ``timeout`` is in seconds, and a large model takes some to prove.
    """

    url: str = "http://127.0.0.1:8081"
    key: str | None = field(default=None, repr=False)
    timeout: float = 300.0

    def push(
        self,
        manifest: Json,
        artifact: bytes,
        *,
        stage: str | None = "shadow",
        percent: float | None = None,
        confirm: bool = False,
        by: str | None = None,
        force: str | None = None,
    ) -> Json:
        """Sends a model. The answer is the server's: the version, its stage, the trial on recent requests.

        ``force`` is the reason to make it live although the log does not show that it earns as much as the live one.
        """
        boundary = uuid.uuid4().hex
        parts = [("manifest", "application/json", json.dumps(manifest).encode()), ("artifact", "application/octet-stream", artifact)]
        body = b"".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n".encode() + content + b"\r\n"
            for name, kind, content in parts
        ) + f"--{boundary}--\r\n".encode()
        query = {"stage": stage, "percent": percent, "confirm": "true" if confirm else None}
        query.update({"force": "true", "reason": force} if force else {})
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if by:
            headers["X-Offerd-Actor"] = by
        return self._call("PUT", _model(manifest["name"], manifest["version"]), query, body, headers)

    def stage(
        self,
        name: str,
        version: str,
        stage: str,
        *,
        percent: float | None = None,
        confirm: bool = False,
        force: str | None = None,
    ) -> Json:
        """Puts a stored version into ``live``, ``canary`` (with ``percent`` of customers), ``shadow`` or ``stored``.

        ``force`` is the reason to make it live although the log does not show that it earns as much as the live one.
        """
        body = {"stage": stage, "percent": percent, "confirm": confirm, "force": True if force else None, "reason": force or None}
        sent = json.dumps({key: value for key, value in body.items() if value is not None}).encode()
        return self._call("POST", _model(name, version) + "/stage", {}, sent, {"Content-Type": "application/json"})

    def promote(self, name: str, version: str, *, confirm: bool = False, force: str | None = None) -> Json:
        """Makes a version live, where the log shows that it earns as much as the one that is, or ``force`` says why."""
        return self.stage(name, version, "live", confirm=confirm, force=force)

    def rollback(self, name: str) -> Json:
        """Makes live what was live before."""
        return self._call("POST", f"/v1/models/{_quoted(name)}/rollback", {}, b"", {})

    def models(self) -> list[Json]:
        """Every version, its stage and what it did."""
        return list(self._call("GET", "/v1/models", {}, None, {})["models"])

    def decision(self, decision_id: str) -> Json:
        """A decision's record."""
        return self._call("GET", f"/v1/decisions/{_quoted(decision_id)}", {}, None, {})

    def _call(self, method: str, path: str, query: Json, body: bytes | None, headers: dict[str, str]) -> Json:
        given = {key: value for key, value in query.items() if value is not None}
        url = self.url.rstrip("/") + path + (f"?{urllib.parse.urlencode(given)}" if given else "")
        key = self.key or os.environ.get("OFFERD_ADMIN_KEY")
        if key:
            headers = {**headers, "Authorization": f"Bearer {key}"}
        request = urllib.request.Request(url, data=body, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            raise OfferdError(error.code, _problem(error)) from None
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            raise OfferdError(0, {"title": "no answer", "detail": f"{self.url}: {reason}"}) from None


def _problem(error: urllib.error.HTTPError) -> Json:
    text = error.read(1 << 20).decode(errors="replace")
    try:
        return dict(json.loads(text))
    except ValueError:
        return {"title": error.reason, "detail": text[:500]}


def _model(name: str, version: str) -> str:
    return f"/v1/models/{_quoted(name)}/{_quoted(version)}"


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")
