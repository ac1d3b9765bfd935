"""What is shown of content: recognised by its bytes, and harmless whatever they are."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khantui.api.peek import MOST_NAMES, beginning, members
from khantui.errors import Failure
from khantui.render.jsontext import document_lines, highlighted, indented
from khantui.render.preview import BEGINNING, TEXT, Preview, preview, table
from khantui.render.text import visible, width
from khantui.state import duck

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 640, 480) + b"\x08\x02\0\0\0"
GIF = b"GIF89a" + struct.pack("<HH", 32, 16) + b"\0" * 20
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF" + b"\0" * 10 + b"\xff\xc0\0\x11\x08" + struct.pack(">HH", 200, 300) + b"\0" * 9


def look(content: bytes | str, name: str = "", size: int | None = None) -> Preview:
    data = content.encode() if isinstance(content, str) else content
    return preview(data[:BEGINNING], len(data) if size is None else size, name)


def plain(shown: Preview) -> list[str]:
    return ["".join(text for text, _ in line) for line in shown.lines]


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        (b"", "", "empty"),
        (b"one\ntwo\n", "", "text"),
        (b"a,b\n1,2\n3,4\n", "", "CSV"),
        (b"a;b\n1,5;2\n3;4\n", "", "CSV"),
        (b"a\tb\n1\t2\n", "", "TSV"),
        (b"only\nthis\n", "s3://bucket/x.csv", "CSV"),
        (b"Dear all, this is text\nwith a comma, or two\n", "", "text"),
        (b'{"a": 1}', "", "JSON"),
        (b"[1, 2]", "", "JSON"),
        (b'{"a": 1}\n{"a": 2}\n', "", "JSON lines"),
        (b'{"a": 1}\nbroken\n', "x.jsonl", "JSON lines"),
        (b"{not json", "", "text"),
        (PNG, "", "PNG picture"),
        (GIF, "", "GIF picture"),
        (JPEG, "", "JPEG picture"),
        (b'<svg width="10" height="20"></svg>', "", "SVG picture"),
        (b"<?xml version='1.0'?>\n<!-- by hand -->\n<svg viewBox='0 0 10 20'></svg>", "", "SVG picture"),
        (b"<!doctype html><svg width='1' height='1'></svg>", "", "HTML"),
        (b"<svg-like></svg-like>", "", "text"),
        (b"PAR1....PAR1", "", "Parquet"),
        (b"PK\x03\x04\0\0", "", "a ZIP archive"),
        (b"\0\1\2\3", "", "binary"),
        ("héllo\n".encode("utf-16"), "", "text"),
        ("\ufeffa,b\n1,2\n".encode(), "", "CSV"),
        (gzip.compress(b"a,b\n1,2\n3,4\n", mtime=0), "", "CSV, compressed with gzip"),
        (b"\x1f\x8bno gzip at all\0", "", "binary"),
    ],
)
def test_content_is_recognised(content: bytes, name: str, kind: str) -> None:
    assert look(content, name).kind == kind


def test_a_table_is_aligned_with_its_header_on_top() -> None:
    shown = look("city,rain\nOslo,7\nNew York,120.5\n")
    assert shown.head == [("city       rain", "strong")]
    assert plain(shown) == ["Oslo          7", "New York  120.5"]
    assert shown.said == "2 rows, 2 columns"


def test_a_table_without_a_header_numbers_its_columns() -> None:
    shown = look("1,2\n3,4\n")
    assert shown.head[0][0].split() == ["1", "2"]
    assert len(shown.lines) == 2


def test_a_long_table_shows_its_first_rows_and_no_half_one() -> None:
    rows = "".join(f"{n},x\n" for n in range(100_000))
    shown = look("n,x\n" + rows)
    assert (len(shown.lines), shown.said) == (200, "first 200 rows, 2 columns")
    cut = preview(b"n,x\n1,2\n3,4\n5", 10_000)
    assert plain(cut) == ["1  2", "3  4"]


def test_wide_characters_keep_the_columns_aligned() -> None:
    shown = look("名前,n\n日本語,1\nab,2\n")
    lines = [shown.head[0][0], *plain(shown)]
    assert {width(line) for line in lines} == {width(lines[0])}


def test_a_table_is_as_wide_as_can_be_read_and_not_wider() -> None:
    many = ",".join("abcdefg"[n % 7] for n in range(5000))
    shown = look(f"{many}\n{many}\n")
    assert shown.said.endswith("5000 columns")
    assert len(plain(shown)[0]) < 1000
    assert all(len(line) < 100 for line in plain(look(f"a,b\n{'x' * 5000},2\n")))


def test_text_has_numbers_and_its_beginning_is_enough() -> None:
    shown = look("word of it\n" * 50_000)
    assert shown.numbered
    assert shown.said == "the first 64 KiB"
    assert sum(len(line) + 1 for line in plain(shown)) <= TEXT + 1


def test_a_line_of_a_megabyte_is_cut() -> None:
    for content in ("x" * 1_000_000, '{"a": "' + "x" * 1_000_000, "a,b\n1," + "y" * 1_000_000, "\t" * 1_000_000):
        shown = look(content)
        assert all(width(line) < 20_000 for line in plain(shown))


def test_json_is_laid_out_and_keeps_its_numbers() -> None:
    shown = look('{"a":[1,2.50,1e999],"b":{},"c":[]}')
    assert plain(shown) == ["{", '  "a": [', "    1,", "    2.50,", "    1e999", "  ],", '  "b": {},', '  "c": []', "}"]


def test_a_beginning_of_json_is_laid_out_too() -> None:
    text = json.dumps([{"id": n, "name": f"n{n}"} for n in range(50_000)])
    shown = look(text)
    assert (shown.kind, shown.said) == ("JSON", "the first 64 KiB")
    assert plain(shown)[:4] == ["[", "  {", '    "id": 0,', '    "name": "n0"']


def test_a_document_on_one_line_is_laid_out_and_another_left_as_it_is() -> None:
    assert len(document_lines('{"a": 1, "b": [2]}\n')) == 6
    assert len(document_lines('{"a": 1,\n\n "b": [2]}\n')) == 3


def test_broken_json_says_what_is_wrong() -> None:
    shown = look('{"a": 1,}')
    assert shown.kind == "text"
    assert shown.said.startswith("not valid JSON: ")


def test_the_pieces_of_json_have_roles() -> None:
    assert highlighted('"k": [1, "v", null]') == [
        ('"k"', "critical"), (":", "faint"), (" ", ""), ("[", "faint"), ("1", "warning"), (",", "faint"), (" ", ""),
        ('"v"', "succeeded"), (",", "faint"), (" ", ""), ("null", "cancelled"), ("]", "faint"),
    ]  # fmt: skip


@pytest.mark.parametrize(("content", "size"), [(PNG, "640 × 480"), (GIF, "32 × 16"), (JPEG, "300 × 200")])
def test_a_picture_says_how_large_it_is(content: bytes, size: str) -> None:
    assert look(content).said.startswith(f"{size} pixels, ")


def test_binary_is_dumped_in_short() -> None:
    lines = plain(look(bytes(range(256)) * 100))
    assert len(lines) == 16
    assert lines[4].startswith("00000040  40 41 42 43 44 45 46 47  48 ")
    assert lines[4].endswith("@ABCDEFGHIJKLMNO")


HOSTILE = [
    b"\x1b[2J\x1b]0;title\x07[red]x[/red]\r\n" * 3,
    b"a,b\n\x1b[31m1,\x9b2J\n3,\xc2\x9b4\n",
    b'{"\x1b[2J": "\x07"}',
    b'{"\\u001b": "' + "\u202e\u2066".encode() + b'"}\n{"b": "\x1b]52;c;AAAA\x07"}\n',
    b'"open,quote\n1,2\n3,4\n',
    b'a,b\n"1,2\n' + b'"""' * 5000,
    b"[" * 200_000,
    b"{" * 200_000,
    b"]" * 70_000,
    b'{"a":' * 50_000,
    b'"\\' * 40_000,
    b"[" + b"1," * 100_000,
    b"\n" * 300_000,
    b"\r" * 1000,
    b"x\0" * 1000,
    b"\xff\xfe" * 1001,
    b"\xff\xd8\xff" + b"\xff" * 1000,
    b"\xff\xd8\xff\xe0\0\0" * 1000,
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"<svg " + b"width='" * 5000,
    b"<?xml ?>" * 3000,
    b"<!---->" * 3000 + b"<svg",
    b"<svg width='\x1b[2J' height='1'>",
    gzip.compress(b"\0" * 50_000_000, mtime=0),
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("name", ["", "x.csv", "x.json", "x.jsonl", "x.tsv"])
def test_hostile_content_is_shown_and_does_nothing(content: bytes, name: str) -> None:
    _harmless(look(content, name))
    _harmless(look(content, name, size=10**12))


@given(st.binary(max_size=400), st.sampled_from(["", "x.csv", "x.json", "x.jsonl", "x.tsv", "x.csv.gz"]), st.booleans())
def test_anything_is_shown_and_does_nothing(content: bytes, name: str, cut: bool) -> None:
    _harmless(preview(content, len(content) + cut, name))


@given(st.text(alphabet='{}[]",:\\ 1a\n\x1b', max_size=60))
def test_anything_like_json_keeps_all_but_its_white_space(text: str) -> None:
    def kept(said: str) -> str:
        return "".join(said.split()).replace("␊", "")  # a line end in what is no string any more

    assert kept("".join(indented(text))) == kept(text)
    shown = "".join("".join(piece for piece, _ in line) for line in document_lines(text))
    assert kept(shown) == kept("".join(visible(line) for line in text.split("\n")))


def _harmless(shown: Preview) -> None:
    for said in (shown.kind, shown.said, shown.head, *shown.lines):
        text = said if isinstance(said, str) else "".join(piece for piece, _ in said)
        assert visible(text) == text


# what is fetched


def tar(names: list[str], content: bytes = b"x") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def parts(data: bytes, size: int = 1000) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def test_no_more_is_read_than_is_wanted() -> None:
    source = iter(parts(b"x" * 10_000))
    assert beginning(source, 2500, lambda: False) == b"x" * 2500
    assert len(list(source)) == 7


def test_a_folder_is_listed_from_its_tar() -> None:
    found, complete = members(iter(parts(tar(["a", "sub/b\x1b[2J", "日本"], b"four"))), lambda: False)
    assert ([m.name for m in found], complete) == (["a", "sub/b\x1b[2J", "日本"], True)
    assert found[0].bytes == 4


def test_a_large_folder_is_listed_in_part() -> None:
    found, complete = members(iter(parts(tar([f"f{n}" for n in range(MOST_NAMES + 5)]))), lambda: False)
    assert (len(found), complete) == (MOST_NAMES, False)


def test_listing_stops_when_nobody_wants_it() -> None:
    assert members(iter(parts(tar(["a"]))), lambda: True) == ([], False)


def test_what_is_no_tar_cannot_be_listed() -> None:
    with pytest.raises(Failure, match="cannot be listed"):
        members(iter([b"this is no tar at all" * 100]), lambda: False)


def test_the_answer_of_duckdb_is_taken_apart() -> None:
    found = duck.parse('count_star()\n1000\nid,"the, name"\n0,"a\nb"\n')
    assert found == duck.Rows(1000, [["id", "the, name"], ["0", "a\nb"]])
    for wrong in ("", "error\n", "count_star()\nx\nid\n", "\0"):
        assert duck.parse(wrong) is None


def test_parquet_rows_say_how_many_there_are() -> None:
    assert (
        table([["1"], ["x"]], "Parquet", more=True, total=1000, titled=True).said == "first 1 of 1,000 rows, 1 column"
    )
