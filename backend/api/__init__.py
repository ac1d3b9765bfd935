"""HTTP: one file per resource, and `wire`, the structs that cross it."""
