"""A hub's cache as its client leaves it, and a hub that answers its client on a local port."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_made_up"


def fill_cache(cache: Path, repo: str, directory: Path, commit: str = COMMIT, ref: str = "main") -> Path:
    """Put the files of `directory` into `cache` as a downloaded revision of `repo`; returns the snapshot."""
    place = cache / f"models--{repo.replace('/', '--')}"
    snapshot = place / "snapshots" / commit
    for source in (path for path in directory.rglob("*") if path.is_file()):
        blob = place / "blobs" / f"{commit[:8]}-{'-'.join(source.relative_to(directory).parts)}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(source.read_bytes())
        link = snapshot / source.relative_to(directory)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    (place / "refs").mkdir(exist_ok=True)
    (place / "refs" / ref).write_text(commit)
    return snapshot


@dataclass
class Hub:
    """What a hub holds: files by path, and what was asked of it."""

    url: str = ""
    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, body: bytes, token: str | None) -> tuple[int, Any]:
        self.asked.append(f"{method} {path}")
        if token != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid credentials"}
        if path == "/api/repos/create":
            asked = json.loads(body)
            self.private = asked.get("private") is True or asked.get("visibility") == "private"
            return 200, {"url": f"{self.url}/org/mine"}
        if "/tree/" in path:
            return 200, [
                {"type": "file", "path": name, "size": len(content), "oid": sha1(content).hexdigest()}
                for name, content in self.files.items()
            ]
        if "/preupload/" in path:
            names = [one["path"] for one in json.loads(body)["files"]]
            plain = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            return 200, {"files": [{"path": name, **plain} for name in names]}
        if "/commit/" in path:
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    self.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "deletedFile":
                    del self.files[value["path"]]
            return 200, {"commitUrl": f"{self.url}/org/mine/commit/{COMMIT}", "commitOid": COMMIT}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if re.fullmatch(r"/api/models/org/mine(/revision/.*)?", path):
            siblings = [{"rfilename": name} for name in self.files]
            return 200, {"id": "org/mine", "private": self.private, "sha": COMMIT, "siblings": siblings}
        if "/branch/" in path:
            return 200, {}
        if "/resolve/" in path and (name := path.split("/resolve/")[1].partition("/")[2]) in self.files:
            return 200, self.files[name]
        return 404, {"error": f"no {path}"}


@contextmanager
def answering(hub: Hub) -> Iterator[Hub]:
    """Let `hub` answer at `hub.url` until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = self.path.partition("?")[0]
            status, content = hub.answer(self.command, path, body, self.headers.get("authorization"))
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.send_header("etag", f'"{sha1(text).hexdigest()}"')
            self.send_header("x-repo-commit", COMMIT)
            if status == 404:
                self.send_header("x-error-code", "EntryNotFound")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        do_GET = do_POST = do_HEAD = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
