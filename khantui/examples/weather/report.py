"""One HTML page: what months are like in each city, and its extremes; and the charts of it as a picture."""

import csv
import html
import os
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

WIDTH, HEIGHT, COLDEST, HOTTEST = 480, 200, -10, 35


def rows(name: str) -> list[dict[str, str]]:
    """A CSV artifact."""
    with Path(os.environ[f"KHAN_INPUT_{name}"]).open(newline="") as file:
        return list(csv.DictReader(file))


def line(values: Iterable[str], colour: str) -> str:
    """Twelve temperatures as an SVG line."""
    points = (
        f"{WIDTH * (i + 0.5) / 12:.0f},{HEIGHT * (HOTTEST - float(value)) / (HOTTEST - COLDEST):.0f}"
        for i, value in enumerate(values)
    )
    return f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(points)}"/>'


def chart(months: list[dict[str, str]]) -> str:
    """A city's year in SVG: warm line, cold line, and a bar of rain for each month."""
    step = WIDTH / 12
    bars = "".join(
        f'<rect x="{i * step + 4:.0f}" y="{HEIGHT - float(m["rain"]):.0f}" width="{step - 8:.0f}"'
        f' height="{float(m["rain"]):.0f}" fill="#cfe3f5"/>'
        for i, m in enumerate(months)
    )
    lines = line((m["warmest"] for m in months), "#d1495b") + line((m["coldest"] for m in months), "#30638e")
    return bars + lines


extremes = {row["city"]: row for row in rows("extremes")}
charts: list[str] = []
page = ["<!doctype html><meta charset=utf-8><title>Weather</title><body style='font-family:sans-serif'>"]
for city, group in groupby(rows("months"), key=lambda row: row["city"]):
    most = extremes[city]
    drawn = chart(list(group))
    page.append(f'<h2>{html.escape(city)}</h2><svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">{drawn}</svg>')
    charts.append(f'<text x="8" y="20">{html.escape(city)}</text>{drawn}')
    page.append(f"<p>hottest {most['hottest']} °C on {most['hottest_day']}, coldest {most['coldest']} °C on ")
    page.append(f"{most['coldest_day']}, wettest {most['wettest']} mm on {most['wettest_day']}</p>")
    print(f"{city}: hottest {most['hottest']} °C on {most['hottest_day']}")
Path(os.environ["KHAN_OUTPUT_report"]).write_text("\n".join(page) + "\n")

moved = "\n".join(f'<g transform="translate(0 {i * (HEIGHT + 10)})">{drawn}</g>' for i, drawn in enumerate(charts))
box = f'viewBox="0 0 {WIDTH} {len(charts) * (HEIGHT + 10)}"'
Path(os.environ["KHAN_OUTPUT_chart"]).write_text(f'<svg xmlns="http://www.w3.org/2000/svg" {box}>\n{moved}\n</svg>\n')
