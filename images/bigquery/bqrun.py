#!/usr/bin/env python3
"""Runs a file of SQL on Google BigQuery, as a stage: inputs become tables, the result becomes the stage's output.

In the SQL `@NAME` is a parameter, a text whose value is the environment variable NAME; `${NAME}` stands for the
variable's value itself, where a name of a table or dataset is needed; `${input.NAME}` is the table that the stage's
input NAME (CSV, JSON lines or Parquet; a folder of such) was loaded into, and which is deleted afterwards.
The rows of the last statement go to the stage's output, or, where it has none, to the log.

Exit codes: 0 done, 1 BigQuery or the SQL failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import signal
import sys
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from requests.exceptions import ConnectionError as NoConnection
from statement import Refused, Statement

SHOWN = 50  # rows that a stage without outputs prints
FORMATS = ("csv", "json", "parquet")


def main() -> int:
    """Run the file that is named: the exit code."""
    parser = argparse.ArgumentParser(prog="bqrun", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    environment = os.environ
    parser.add_argument("file", type=Path, help="a file of SQL")
    parser.add_argument("--project", default=environment.get("GOOGLE_CLOUD_PROJECT"), help="GOOGLE_CLOUD_PROJECT")
    parser.add_argument("--dataset", default=environment.get("BIGQUERY_DATASET"), help="BIGQUERY_DATASET")
    parser.add_argument("--location", default=environment.get("BIGQUERY_LOCATION"), help="BIGQUERY_LOCATION")
    parser.add_argument("--format", default=environment.get("BIGQUERY_FORMAT", "csv"), choices=FORMATS)
    most = environment.get("BIGQUERY_MOST_BYTES")
    parser.add_argument("--most-bytes", type=int, default=most, help="that a job may bill: BIGQUERY_MOST_BYTES")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    try:
        statement = Statement(given.file.read_text(encoding="utf-8"), environment)
        output = _output(environment)
        client = _client(given)
        _run(client, given, statement, output)
    except NoConnection as error:
        return _failed(f"BigQuery cannot be reached: {error}", "the pipeline's service account must declare a network")
    except (Refused, UnicodeDecodeError) as error:
        return _failed(str(error), code=2)
    except OSError as error:
        return _failed(str(error))
    except GoogleAuthError as error:
        return _failed(f"no credentials: {error}", "the pipeline's service account must declare a cloud identity")
    except RetryError as error:
        return _failed(f"BigQuery does not answer: {error}")
    except GoogleAPICallError as error:
        return _failed(f"BigQuery refused ({error.code}): {error.message}")
    return 0


def _failed(message: str, hint: str = "", code: int = 1) -> int:
    print(f"bqrun: {message}", file=sys.stderr)
    if hint:
        print(f"       {hint}", file=sys.stderr)
    return code


def _output(environment: Mapping[str, str]) -> Path | None:
    found = {name: value for name, value in environment.items() if name.startswith("KHAN_OUTPUT_")}
    if len(found) > 1:
        names = ", ".join(sorted(name.removeprefix("KHAN_OUTPUT_") for name in found))
        raise Refused(f"a stage of BigQuery writes one output, not {names}: make a stage for each")
    return Path(next(iter(found.values()))) if found else None


def _client(given: argparse.Namespace) -> bigquery.Client:
    """With the credentials of the environment; an emulator, as the client itself finds it, is asked without any."""
    emulator = os.environ.get("BIGQUERY_EMULATOR_HOST")
    return bigquery.Client(
        project=given.project,
        location=given.location,
        credentials=AnonymousCredentials() if emulator else None,  # type: ignore[no-untyped-call]
        client_options=ClientOptions(api_endpoint=emulator) if emulator else None,
    )


def _run(client: bigquery.Client, given: argparse.Namespace, statement: Statement, output: Path | None) -> None:
    """Load the inputs, run the SQL, keep its rows, delete the tables of the inputs."""
    if statement.inputs and not given.dataset:
        raise Refused("inputs are loaded into tables, which need a dataset: set BIGQUERY_DATASET")
    dataset = bigquery.DatasetReference.from_string(given.dataset, client.project) if given.dataset else None
    tables: dict[str, str] = {}
    try:
        for name, path in statement.inputs.items():
            tables[name] = table = f"{dataset.project}.{dataset.dataset_id}.khan_{_word(name)}_{uuid.uuid4().hex[:12]}"
            _load(client, path, table)
        config = bigquery.QueryJobConfig(
            default_dataset=dataset,
            labels={"managed-by": "khantui"},
            query_parameters=[bigquery.ScalarQueryParameter(n, "STRING", v) for n, v in statement.parameters.items()],
        )
        if given.most_bytes is not None:
            config.maximum_bytes_billed = given.most_bytes
        job = client.query(statement.sql(tables), job_config=config, job_id_prefix="khantui-")
        _say(f"job {job.project}:{job.location or ''}.{job.job_id}")
        try:
            rows = job.result()
        except SystemExit:  # nobody waits for it any more, and it would go on costing money
            job.cancel(timeout=5)
            _say("the job is cancelled")
            raise
        if job.total_bytes_processed is not None:
            _say(f"{job.total_bytes_processed:,} bytes read, {job.total_bytes_billed or 0:,} billed")
        if not rows.schema:
            changed = job.num_dml_affected_rows
            _say("done" if changed is None else f"{changed:,} rows changed")
            if output is not None:
                raise Refused("the last statement gives no rows, but the stage has an output: end with a SELECT")
        elif output is None:
            _show(rows)
        else:
            _say(f"{_write(rows, output, given.format):,} rows written")
    finally:
        for table in tables.values():
            client.delete_table(table, not_found_ok=True)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    """A stage that is cancelled or too late leaves nothing behind: what is under way is ended on the way out."""
    sys.exit(128 + number)


def _load(client: bigquery.Client, path: Path, table: str) -> None:
    """Append every file of an input to a table that deletes itself after a day, should this not live to do it."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if not files:
        raise Refused(f"the input {path.name} has no files")
    made = False
    for file in files:
        kind = _kind(file)
        config = bigquery.LoadJobConfig(source_format=kind, autodetect=True, write_disposition="WRITE_APPEND")
        with file.open("rb") as content:
            job = client.load_table_from_file(content, table, job_config=config, job_id_prefix="khantui-")
            job.result()
        if not made:
            loaded = client.get_table(table)
            loaded.expires = datetime.now(UTC) + timedelta(days=1)
            client.update_table(loaded, ["expires"])
            made = True
        _say(f"loaded {file.name}: {job.output_rows or 0:,} rows")


def _kind(file: Path) -> str:
    """What a file is, by its first bytes: artifacts have no suffix."""
    with file.open("rb") as content:
        start = content.read(4096)
    if start.startswith(b"PAR1"):
        return bigquery.SourceFormat.PARQUET
    if start.lstrip().startswith(b"{"):
        return bigquery.SourceFormat.NEWLINE_DELIMITED_JSON
    return bigquery.SourceFormat.CSV


def _write(rows: Any, output: Path, kind: str) -> int:
    """Write rows as they come, page by page: how many."""
    names = [field.name for field in rows.schema]
    if kind == "parquet":
        return _write_parquet(rows, output)
    count = 0
    with output.open("w", encoding="utf-8", newline="") as file:
        if kind == "json":
            for row in rows:
                file.write(json.dumps(dict(row.items()), default=_plain, ensure_ascii=False) + "\n")
                count += 1
            return count
        writer = csv.writer(file)
        writer.writerow(names)
        for row in rows:
            writer.writerow([_cell(value) for value in row.values()])
            count += 1
    return count


def _write_parquet(rows: Any, output: Path) -> int:
    import pyarrow.parquet as parquet

    count, writer = 0, None
    for batch in rows.to_arrow_iterable():
        if writer is None:
            writer = parquet.ParquetWriter(output, batch.schema)
        writer.write_batch(batch)
        count += batch.num_rows
    if writer is None:  # no rows at all: a file that has the columns
        table = rows.to_arrow(create_bqstorage_client=False)
        writer = parquet.ParquetWriter(output, table.schema)
    writer.close()
    return count


def _show(rows: Iterable[Any]) -> None:
    for number, row in enumerate(rows):
        if number == SHOWN:
            print(f"… only the first {SHOWN} rows are shown; an output of the stage has them all")
            return
        print(json.dumps(dict(row.items()), default=_plain, ensure_ascii=False))


def _cell(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return json.dumps(value, default=_plain, ensure_ascii=False)
    return (
        ""
        if value is None
        else value
        if isinstance(value, (int, float, str)) and not isinstance(value, bool)
        else _plain(value)
    )


def _plain(value: Any) -> str:
    """What JSON has no word for."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _word(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _say(message: str) -> None:
    print(f"bqrun: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
