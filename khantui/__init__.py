"""Khantui's face: the command line and the screens. It reaches the daemon over HTTP only."""

__version__ = "0.1.0"
