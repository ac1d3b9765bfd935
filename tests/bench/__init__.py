"""How fast the real thing is, against the physical floor in the same run. Nothing here asserts a time."""
