"""The mean mass of each species. It takes for granted that every bird was weighed."""

import csv
import os
from collections import defaultdict
from pathlib import Path
from statistics import mean

masses = defaultdict(list)
with Path(os.environ["KHAN_INPUT_raw"]).open(newline="") as file:
    for number, bird in enumerate(csv.DictReader(file), 2):
        try:
            masses[bird["species"]].append(float(bird["body_mass_g"]))
        except ValueError:
            print(f"ERROR: line {number}: body_mass_g is {bird['body_mass_g']!r}: {bird}")
            raise
        if number % 100 == 0:
            print(f"{number} birds so far")

with Path(os.environ["KHAN_OUTPUT_mass"]).open("w") as file:
    file.writelines(f"{species},{mean(grams):.0f}\n" for species, grams in masses.items())
