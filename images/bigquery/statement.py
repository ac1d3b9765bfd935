"""The SQL of a stage: what it names of the stage's environment, and its text once that is filled in. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_TOKEN = re.compile(
    r"""
      (?P<skip> \"{3}(?:\\.|[^\\])*?\"{3} | '{3}(?:\\.|[^\\])*?'{3} | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*'
              | --[^\n]* | \#[^\n]* | /\*.*?\*/ )
    | (?P<input> \$\{input\.(?P<artifact>[^}]*)\} )
    | (?P<variable> \$\{(?P<name>[^}]*)\} )
    | (?<![@\w]) @ (?P<parameter>[A-Za-z_]\w*)
    """,
    re.DOTALL | re.VERBOSE,
)
_IDENTIFIER = re.compile(r"[\w.:*-]+")


class Refused(Exception):
    """The stage is wrong, and BigQuery was not asked."""


class Statement:
    """The SQL as BigQuery gets it: which inputs and parameters it names, and its text once they have tables."""

    def __init__(self, text: str, environment: Mapping[str, str]) -> None:
        self._text = text
        self._environment = environment
        self.inputs: dict[str, Path] = {}
        self.parameters: dict[str, str] = {}
        for found in _TOKEN.finditer(text):
            if artifact := found["artifact"]:
                self.inputs[artifact] = self._input(artifact)
            elif parameter := found["parameter"]:
                self.parameters[parameter] = self._variable(parameter, f"@{parameter}")
            elif found["variable"]:
                self._identifier(found["name"])

    def sql(self, tables: Mapping[str, str]) -> str:
        """The text, with the tables of its inputs."""

        def stand_for(found: re.Match[str]) -> str:
            if found["input"]:
                return f"`{tables[found['artifact']]}`"
            return self._identifier(found["name"]) if found["variable"] else found[0]

        return _TOKEN.sub(stand_for, self._text)

    def _identifier(self, name: str) -> str:
        value = self._variable(name, f"${{{name}}}")
        if not _IDENTIFIER.fullmatch(value):
            raise Refused(f"${{{name}}} is {value!r}, no name of a table; for a value write @{name}")
        return value

    def _variable(self, name: str, written: str) -> str:
        if name not in self._environment:
            raise Refused(f"the SQL has {written}, but there is no environment variable {name}")
        return self._environment[name]

    def _input(self, name: str) -> Path:
        where = self._environment.get(f"KHAN_INPUT_{name.replace('-', '_')}")
        if where is None:
            raise Refused(f"the SQL has ${{input.{name}}}, but the stage has no input {name!r}")
        return Path(where)
