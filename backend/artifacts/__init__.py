"""What stages pass on: files and folders, known by their content; and the code that travels with documents."""

from backend.artifacts.code import CodeStore
from backend.artifacts.store import ArtifactStore

__all__ = ["ArtifactStore", "CodeStore"]
