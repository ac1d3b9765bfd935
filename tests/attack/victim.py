"""What is attacked: a daemon with pipelines of two teams, of which the one must never see the other's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from backend.access.model import ROLES
from tests.e2e.daemon import Daemon

OURS = "ours-alone"  # words of the other team: in its document, log and artifact, and in no name
FOREIGN = "foreign"  # an editor, and no more than nobody on `mine`


class Victim:
    """A daemon on a folder of its own, which holds callers to their roles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemon = Daemon(folder / "d")
        (folder / "d").mkdir(mode=0o700)
        self.url = self.daemon.start("--port", "0", "--rate", "0", "--login-failures", "0")
        self.http = self.daemon.http
        self.tokens: dict[str, str] = {}  # role -> a token that has it on all pipelines
        self.names: dict[str, str] = {}  # parameter of a path -> something of the other team

    def furnish(self) -> None:
        """Give both teams something, and everybody a token."""
        for role in ROLES[1:]:
            self.tokens[role] = self.token(f"role-{role}", role)
        self.tokens[FOREIGN] = self.token(FOREIGN, "editor", pipelines="theirs*")
        output = {"description": OURS, "outputs": {"out": {}}}
        script = f'echo {OURS}; echo {OURS} > "$KHAN_OUTPUT_out"'
        for name in ("mine", "theirs"):
            more = output if name == "mine" else {"outputs": {"out": {}}}
            stage = {"script": script if name == "mine" else 'echo x > "$KHAN_OUTPUT_out"', "outputs": ["out"]}
            self.daemon.apply(name, stages={"only": {**stage, "timeout": "1m"}}, **more)
        run = self.daemon.run("mine")
        assert self.daemon.ended(run)["state"] == "succeeded"
        self.must("PUT", "/schedules/mine", {"pipeline": "mine", "kind": "cron", "cron": ["0 6 1 1 *"]})
        self.names = {"run": run, "stage": "only", "version": "1"}

    def token(self, name: str, role: str, **on: Any) -> str:
        """A new token's text."""
        return str(self.must("POST", "/auth/tokens", {"name": name, "role": role, **on})["token"])

    def must(self, method: str, path: str, body: Any = None) -> Any:
        """What the owner asks for."""
        answer = self.http.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def as_(self, who: str, method: str, path: str, **more: Any) -> httpx.Response:
        """A request of somebody."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}", **more.pop("headers", {})}
        return self.http.request(method, path, headers=headers, **more)
