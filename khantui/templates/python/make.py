"""Writes numbers, a line each, to the artifact `numbers`."""

import os
import random
from pathlib import Path

rows = int(os.environ["ROWS"])
source = random.Random(os.environ["DAY"])  # the same day gives the same numbers
target = Path(os.environ["KHAN_OUTPUT_numbers"])
target.write_text("".join(f"{source.gauss(100, 15):.2f}\n" for _ in range(rows)))
print(f"wrote {rows} numbers")
