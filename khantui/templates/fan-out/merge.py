"""Reads the folder of all parts' results, an entry each, and adds them up."""

import os
from pathlib import Path

sums = {entry.name: int(entry.read_text()) for entry in Path(os.environ["KHAN_INPUT_sums"]).iterdir()}
Path(os.environ["KHAN_OUTPUT_total"]).write_text(f"{sum(sums.values())}\n")
print(f"{len(sums)} parts: {sum(sums.values())}")
