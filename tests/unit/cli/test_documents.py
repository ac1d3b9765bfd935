"""Documents on disk: found, put in order, with their code."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from khantui.cli.documents import Document, code_files, find, in_order, references
from khantui.errors import Failure, Misuse


def write(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def pipeline(name: str, *takes_from: str) -> Document:
    inputs = {f"i{n}": {"from": f"{other}/out"} for n, other in enumerate(takes_from)}
    return Document(f"{name}.json", json.dumps({"name": name, "inputs": inputs, "stages": {}}), None)


def test_a_folder_is_searched_for_documents_and_junk_left_out(tmp_path: Path) -> None:
    write(tmp_path / "a" / "pipeline.json", {"name": "a", "stages": {}})
    write(tmp_path / "b" / "other.json", {"name": "b", "stages": {"s": {}}})
    write(tmp_path / "b" / "package.json", {"name": "no pipeline"})
    write(tmp_path / "broken" / "pipeline.json", "{")
    write(tmp_path / ".git" / "pipeline.json", {"stages": {}})
    write(tmp_path / "node_modules" / "pipeline.json", {"stages": {}})
    found = [Path(d.file).relative_to(tmp_path).as_posix() for d in find([str(tmp_path)])]
    assert found == ["a/pipeline.json", "b/other.json", "broken/pipeline.json"]


def test_a_document_named_twice_is_found_once(tmp_path: Path) -> None:
    file = write(tmp_path / "pipeline.json", {"stages": {}})
    assert len(find([str(file), str(tmp_path)])) == 1


def test_a_dash_is_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"name": "x"}'))
    assert find(["-"])[0].name == "x"


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), (b"\xff\xfe", "is no text")])
def test_what_cannot_be_read_is_wrong_usage(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "pipeline.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Misuse, match=words):
        find([str(file)])


def test_a_folder_without_documents_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="no pipeline document"):
        find([str(tmp_path)])


def test_code_is_collected_with_its_folders_and_without_junk(tmp_path: Path) -> None:
    document = write(tmp_path / "pipeline.json", {"code": ["clean.py", "sql/", "not-there.py"], "stages": {}})
    for name in ("clean.py", "sql/a.sql", "sql/deep/b.sql", "sql/__pycache__/a.pyc", "sql/.git/x", "sql/c.sql~"):
        write(tmp_path / name, "x")
    assert list(code_files(find([str(document)])[0])) == ["clean.py", "sql/a.sql", "sql/deep/b.sql"]


def test_code_outside_the_folder_is_left_to_lint(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.txt", "x")
    document = write(tmp_path / "p" / "pipeline.json", {"code": ["../secret.txt", str(secret), ".."], "stages": {}})
    assert code_files(find([str(document)])[0]) == {}


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "secret.txt", "x")
    document = write(tmp_path / "p" / "pipeline.json", {"code": ["sql"], "stages": {}})
    (tmp_path / "p" / "sql").mkdir()
    (tmp_path / "p" / "sql" / "link").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(Misuse, match="leads out"):
        code_files(find([str(document)])[0])


def test_those_that_others_take_from_come_first() -> None:
    documents = [pipeline("c", "b", "a"), pipeline("b", "a"), pipeline("a"), pipeline("z")]
    assert [d.name for d in in_order(documents)] == ["a", "b", "c", "z"]


def test_a_circle_is_named() -> None:
    with pytest.raises(Failure, match="a → b → a"):
        in_order([pipeline("a", "b"), pipeline("b", "a")])


def test_references_are_of_stages_and_of_artifacts() -> None:
    text = json.dumps({"name": "x", "inputs": {"i": {"from": "a/out"}}, "stages": {"s": {"uses": "b/t"}, "t": 1}})
    assert references(Document("f", text, None)) == {"a", "b"}


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"inputs": 1, "stages": []}', '{"name": 3}'])
def test_nonsense_has_no_references_and_no_code(text: str) -> None:
    document = Document("f", text, Path())
    assert references(document) == set()
    assert code_files(document) == {}
