"""Reads the artifact `numbers`, writes the artifact `report`."""

import os
import statistics
from pathlib import Path

numbers = [float(line) for line in Path(os.environ["KHAN_INPUT_numbers"]).read_text().split()]
report = (
    f"{os.environ['DAY']}: {len(numbers)} numbers, mean {statistics.fmean(numbers):.2f}, "
    f"deviation {statistics.stdev(numbers):.2f}\n"
)
Path(os.environ["KHAN_OUTPUT_report"]).write_text(report)
print(report, end="")
