"""What BigQuery's client needs of BigQuery, over SQLite: jobs of queries and of loads, their rows, tables."""

import json
import re
import sqlite3
import threading
import uuid
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

DATABASE = sqlite3.connect(":memory:", check_same_thread=False)
LOCK = threading.Lock()
KINDS = {int: "INTEGER", float: "FLOAT"}


class Emulator(BaseHTTPRequestHandler):
    """One request of the API, version 2."""

    jobs: dict[str, dict] = {}
    uploads: dict[str, dict] = {}
    cancelled: list[str] = []
    waiting = threading.Event()  # set once somebody waits for a query that never ends

    @staticmethod
    def tables() -> list[str]:
        return [name for (name,) in DATABASE.execute("select name from sqlite_master where type = 'table'")]

    def log_message(self, *_: object) -> None:
        pass

    def handle_one(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        for method, pattern, answer in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == self.command:
                with LOCK:
                    status, headers, said = answer(self, body, *found.groups())
                content = json.dumps(said).encode() if said is not None else b""
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                return
        self.send_error(404, f"{self.command} {path}")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one


def _job(request: Emulator, body: bytes, project: str) -> tuple[int, dict, dict]:
    job = json.loads(body)
    reference = {"projectId": project, "location": "EU", **job["jobReference"]}
    query = job["configuration"]["query"]
    parameters = {p["name"]: p["parameterValue"]["value"] for p in query.get("queryParameters", [])}
    state = "RUNNING" if "forever" in query["query"] else "DONE"
    made = {**job, "jobReference": reference, "status": {"state": state}}
    made["statistics"] = {"query": {"totalBytesProcessed": "42", "totalBytesBilled": "0", "statementType": "SELECT"}}
    try:
        cursor = DATABASE.execute(query["query"], parameters)
        made["rows"], made["names"] = cursor.fetchall(), [column[0] for column in cursor.description or ()]
    except sqlite3.Error as error:
        problem = {"reason": "invalidQuery", "message": str(error)}
        made["status"] = {"state": "DONE", "errorResult": problem, "errors": [problem]}
    Emulator.jobs[reference["jobId"]] = made
    return 200, {}, _public(made)


def _cancel(request: Emulator, body: bytes, job: str) -> tuple[int, dict, dict]:
    Emulator.cancelled.append(job)
    return 200, {}, {"job": _public(Emulator.jobs[job])}


def _public(job: dict) -> dict:
    return {key: value for key, value in job.items() if key not in ("rows", "names")}


def _get_job(request: Emulator, body: bytes, job: str) -> tuple[int, dict, dict]:
    return 200, {}, _public(Emulator.jobs[job])


def _rows(request: Emulator, body: bytes, job: str) -> tuple[int, dict, dict]:
    made = Emulator.jobs[job]
    if "forever" in made["configuration"]["query"]["query"]:
        Emulator.waiting.set()
        return 200, {}, {"jobReference": made["jobReference"], "jobComplete": False}
    first = made["rows"][0] if made["rows"] else ["" for _ in made["names"]]
    fields = [
        {"name": name, "type": KINDS.get(type(value), "STRING"), "mode": "NULLABLE"}
        for name, value in zip(made["names"], first, strict=True)
    ]
    rows = [{"f": [{"v": None if value is None else str(value)} for value in row]} for row in made["rows"]]
    said = {"jobReference": made["jobReference"], "jobComplete": True, "schema": {"fields": fields}}
    said["totalRows"] = str(len(rows))
    return 200, {}, said if "maxResults=0" in request.path else {**said, "rows": rows}


def _begin_upload(request: Emulator, body: bytes) -> tuple[int, dict, None]:
    session = uuid.uuid4().hex
    Emulator.uploads[session] = json.loads(body)
    host = request.headers["host"]
    return 200, {"Location": f"http://{host}/session/{session}"}, None


def _upload(request: Emulator, body: bytes, session: str) -> tuple[int, dict, dict]:
    job = Emulator.uploads.pop(session)
    load = job["configuration"]["load"]
    assert load["sourceFormat"] == "NEWLINE_DELIMITED_JSON", load
    rows = [json.loads(line) for line in body.decode().splitlines()]
    table = load["destinationTable"]
    name = f"{table['projectId']}.{table['datasetId']}.{table['tableId']}"
    DATABASE.execute(f"create table if not exists `{name}` ({', '.join(rows[0])})")
    places = ", ".join("?" for _ in rows[0])
    DATABASE.executemany(f"insert into `{name}` values ({places})", [tuple(row.values()) for row in rows])
    made = {**job, "status": {"state": "DONE"}, "statistics": {"load": {"outputRows": str(len(rows))}}}
    made["jobReference"].setdefault("location", "EU")
    Emulator.jobs[job["jobReference"]["jobId"]] = made
    return 200, {}, made


def _get_table(request: Emulator, body: bytes, project: str, dataset: str, table: str) -> tuple[int, dict, dict]:
    reference = {"projectId": project, "datasetId": dataset, "tableId": table}
    return 200, {}, {"tableReference": reference, "etag": "1", **(json.loads(body) if body else {})}


def _delete_table(request: Emulator, body: bytes, project: str, dataset: str, table: str) -> tuple[int, dict, dict]:
    DATABASE.execute(f"drop table if exists `{project}.{dataset}.{table}`")
    return 204, {}, None


API = "/bigquery/v2/projects/([^/]+)"
ONE = API.replace("(", "(?:")
ROUTES = [
    ("POST", f"{API}/jobs", _job),
    ("GET", f"{ONE}/jobs/([^/]+)", _get_job),
    ("POST", f"{ONE}/jobs/([^/]+)/cancel", _cancel),
    ("GET", f"{ONE}/queries/([^/]+)", _rows),
    ("POST", f"/(?:resumable/)?upload{ONE}/jobs", _begin_upload),
    ("PUT", "/session/([^/]+)", _upload),
    ("GET", f"{API}/datasets/([^/]+)/tables/([^/]+)", _get_table),
    ("PATCH", f"{API}/datasets/([^/]+)/tables/([^/]+)", _get_table),
    ("DELETE", f"{API}/datasets/([^/]+)/tables/([^/]+)", _delete_table),
]
