"""Counts the earthquakes of one hour of the day, over all days: how many, how many strong ones, and the strongest."""

import csv
import os
from pathlib import Path

hour, strong = os.environ["HOUR"], float(os.environ["STRONG"])
with Path("events.csv").open(newline="") as file:
    magnitudes = [
        float(event["magnitude"])
        for event in csv.DictReader(file)
        if event["kind"] == "earthquake" and event["time"][11:13] == hour
    ]
events, strong_ones, strongest = len(magnitudes), sum(m >= strong for m in magnitudes), max(magnitudes)
Path(os.environ["KHAN_OUTPUT_hours"]).write_text(f"{hour},{events},{strong_ones},{strongest}\n")
print(f"from {hour}:00 to {hour}:59 UTC: {events} earthquakes, {strong_ones} of them strong, the strongest {strongest}")
