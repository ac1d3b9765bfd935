"""Runs attempts as Kubernetes Jobs."""

from backend.executors.kubernetes.executor import KubernetesExecutor
from backend.executors.kubernetes.opening import open_executor
from backend.executors.kubernetes.settings import ObjectStorage, Settings, SharedVolume

__all__ = ["KubernetesExecutor", "ObjectStorage", "Settings", "SharedVolume", "open_executor"]
