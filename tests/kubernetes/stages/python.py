import importlib.metadata
import os
import platform

import httpx
import pandas as pd

rows = pd.read_json(os.environ["KHAN_INPUT_rows"])
rows.groupby("kind", as_index=False).sum().to_parquet(os.environ["KHAN_OUTPUT_out"])
back = pd.read_parquet(os.environ["KHAN_OUTPUT_out"])
print("result", " ".join(f"{kind} {value}" for kind, value in back.itertuples(index=False)))
print("holds python", platform.python_version())
for name in ("httpx", "numpy", "pandas", "pyarrow"):
    print("holds", name, importlib.metadata.version(name))
httpx.Client(http2=True).close()
