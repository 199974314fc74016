"""A stand-in for the Hugging Face Hub: a server on this machine that speaks as much of its API as uploads and downloads
of models need."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

TOKEN = "hf_of_a_test"
LARGE = (".safetensors", ".onnx", ".pt2")
"""Endings of files that are sent apart from the commit, by the protocol of Git LFS."""


class Hub:
    """Repositories as lists of commits, each all of its files; the last one is the branch `main`."""

    def __init__(self):
        self.repositories: dict[str, list[dict[str, bytes]]] = {}
        self.private: dict[str, bool] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def files(self, name: str) -> dict[str, bytes]:
        return {path: content for path, content in self.repositories[name][-1].items() if path != ".gitattributes"}


def sha(files: dict[str, bytes]) -> str:
    """The name of a commit."""
    return hashlib.sha1(b"".join(path.encode() + content for path, content in sorted(files.items()))).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """One request; each route is a method, by its pattern in `ROUTES`."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Says nothing."""

    def answer(self, status=200, content=b"", **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        self.hub.asked.append(f"{self.command} {self.path}")
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        for method, pattern, route in ROUTES:
            if method == self.command.replace("HEAD", "GET") and (found := re.fullmatch(pattern, path)):
                return route(self, *found.groups())
        return self.answer(404, {"error": f"no route for {path}"})

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def may_write(self):
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"error": "Invalid username or password."})
            return False
        return True

    def create(self):
        if not self.may_write():
            return
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        status = 409 if name in self.hub.repositories else 200
        if status == 200:
            self.hub.repositories[name] = [{".gitattributes": b"*.safetensors filter=lfs"}]
            self.hub.private[name] = asked.get("private") or asked.get("visibility") == "private"
        self.answer(status, {"url": f"{self.hub.address}/{name}", "name": name})

    def validate(self):
        content = json.loads(self.body)["content"]
        head = yaml.safe_load(re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)[1])
        wrong = [name for name in ("license", "library_name") if not isinstance(head.get(name, ""), str)]
        self.answer(400 if wrong else 200, {"errors": [{"message": name} for name in wrong], "warnings": []})

    def preupload(self, name, revision):
        if self.commit_of(name, revision) and self.may_write():
            paths = [each["path"] for each in json.loads(self.body)["files"]]
            modes = {path: "lfs" if path.endswith(LARGE) else "regular" for path in paths}
            files = [{"path": path, "uploadMode": modes[path], "shouldIgnore": False, "oid": None} for path in paths]
            self.answer(200, {"files": files})

    def batch(self, name):
        objects = [{**each, "actions": self.actions(each["oid"])} for each in json.loads(self.body)["objects"]]
        self.answer(200, {"transfer": "basic", "objects": objects})

    def actions(self, oid):
        return {"upload": {"href": f"{self.hub.address}/lfs/{oid}", "header": {}}}

    def put(self, oid):
        right = hashlib.sha256(self.body).hexdigest() == oid
        self.hub.blobs |= {oid: self.body} if right else {}
        self.answer(200 if right else 400)

    def commit(self, name, revision):
        if not self.may_write():
            return
        files = dict(self.hub.repositories[name][-1])
        for line in self.body.splitlines():
            change = json.loads(line)
            kind, value = change["key"], change["value"]
            if kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif kind == "deletedFile":
                del files[value["path"]]
        self.hub.repositories[name].append(files)
        self.answer(200, {"commitUrl": f"{self.hub.address}/{name}/commit/{sha(files)}", "commitOid": sha(files)})

    def commit_of(self, name, revision):
        """The files of a branch or commit; answers itself where there are none."""
        commits = self.hub.repositories.get(name)
        if commits is None:
            self.answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            return None
        return next((files for files in reversed(commits) if revision in ("main", sha(files))), None)

    def info(self, name, revision="main"):
        if files := self.commit_of(name, revision):
            siblings = [{"rfilename": path} for path in files]
            self.answer(200, {"id": name, "sha": sha(files), "siblings": siblings, "private": False, "tags": []})

    def tree(self, name, revision):
        if files := self.commit_of(name, revision):
            self.answer(200, [self.entry(path, content) for path, content in files.items()])

    def entry(self, path, content):
        lfs = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        large = {"lfs": lfs} if path.endswith(LARGE) else {}
        return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest(), **large}

    def resolve(self, name, revision, path):
        if files := self.commit_of(name, revision):
            if path not in files:
                return self.answer(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
            content = files[path]
            tag = hashlib.sha256(content) if path.endswith(LARGE) else hashlib.sha1(content)
            self.answer(200, content, X_Repo_Commit=sha(files), ETag=f'"{tag.hexdigest()}"')
        return None


NAME = r"([^/]+/[^/]+?)"
ROUTES = [
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", Handler.validate),
    ("POST", f"/api/models/{NAME}/preupload/([^/]+)", Handler.preupload),
    ("POST", rf"/{NAME}\.git/info/lfs/objects/batch", Handler.batch),
    ("PUT", "/lfs/([0-9a-f]+)", Handler.put),
    ("POST", f"/api/models/{NAME}/commit/([^/]+)", Handler.commit),
    ("GET", f"/api/models/{NAME}/revision/([^/]+)", Handler.info),
    ("GET", f"/api/models/{NAME}/tree/([^/]+)/?", Handler.tree),
    ("GET", f"/api/models/{NAME}", Handler.info),
    ("GET", f"/{NAME}/resolve/([^/]+)/(.+)", Handler.resolve),
]
