"""The daemon: owns the state in etcd, decides what runs, and serves the API."""

__version__ = "0.1.0"
