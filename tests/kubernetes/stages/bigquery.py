"""Runs a stage of the image `bigquery` before an emulator of its service, and then where nobody answers at all."""

import importlib.metadata
import os
import platform
import subprocess
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, "/khan/code")
from bigquery_emulator import Emulator

server = ThreadingHTTPServer(("127.0.0.1", 0), Emulator)
threading.Thread(target=server.serve_forever, daemon=True).start()
emulator = f"http://127.0.0.1:{server.server_port}"
environment = {**os.environ, "GOOGLE_CLOUD_PROJECT": "acme", "BIGQUERY_DATASET": "tmp", "UNWANTED": "c"}


def run(sql: str, **more: str) -> tuple[int, str]:
    done = subprocess.run(["bqrun", sql], env={**environment, **more}, capture_output=True, text=True, timeout=100)
    print(done.stdout, done.stderr, flush=True)
    return done.returncode, done.stderr


there = {"BIGQUERY_EMULATOR_HOST": emulator}
output = Path(os.environ["KHAN_OUTPUT_out"])
code, said = run("/khan/code/bigquery.sql", **there)
assert code == 0, said
print("result", output.read_text().replace("\n", " "))
assert Emulator.tables() == [], "the tables of inputs are left"
code, said = run("/khan/code/bigquery.sql", BIGQUERY_FORMAT="parquet", **there)
assert (code, output.read_bytes()[:4]) == (0, b"PAR1")
Path("/tmp/wrong.sql").write_text("SELECT nosuch")
code, said = run("/tmp/wrong.sql", **there)
assert (code, "no such column: nosuch" in said) == (1, True)
Path("/tmp/unknown.sql").write_text("SELECT @NOWHERE")
code, said = run("/tmp/unknown.sql", **there)
assert (code, "there is no environment variable NOWHERE" in said) == (2, True)

Path("/tmp/long.sql").write_text("SELECT 'forever' FROM ${input.rows}")
asked = subprocess.Popen(["bqrun", "/tmp/long.sql"], env=environment | there, stderr=subprocess.PIPE, text=True)
assert Emulator.waiting.wait(60)
asked.terminate()
said = asked.communicate(timeout=60)[1]
assert (asked.returncode, len(Emulator.cancelled), Emulator.tables()) == (143, 1, []), said

server.shutdown()
code, said = run("/khan/code/bigquery.sql", NO_GCE_CHECK="true")  # the edge: no network, and nobody who says who we are
assert (code, "no credentials" in said) == (1, True)
print("holds python", platform.python_version())
for name in ("google-cloud-bigquery", "pyarrow"):
    print("holds", name, importlib.metadata.version(name))
