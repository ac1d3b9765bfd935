"""Crontabs: read, turned into pipelines and schedules, and written. Pure."""
