import importlib.metadata
import json
import os
import platform

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.dataflow import dataflow_runner  # what a run on Google's machines begins with

with beam.Pipeline(runner="DirectRunner", options=PipelineOptions([])) as pipeline:
    (
        pipeline
        | beam.Create(json.load(open(os.environ["KHAN_INPUT_rows"])))
        | beam.Map(lambda row: (row["kind"], row["value"]))
        | beam.CombinePerKey(sum)
        | beam.Map(lambda pair: f"{pair[0]} {pair[1]}")
        | beam.combiners.ToList()
        | beam.FlatMap(sorted)
        | beam.io.WriteToText(os.environ["KHAN_OUTPUT_out"], shard_name_template="", num_shards=1)
    )
print("result", " ".join(open(os.environ["KHAN_OUTPUT_out"]).read().split("\n")))
print("holds python", platform.python_version())
print("holds apache-beam", importlib.metadata.version("apache-beam"))
assert dataflow_runner.DataflowRunner
