"""What stages pass on: files and folders, known by their content; and the code that travels with documents."""

from backend.artifacts.code import CodeStore
from backend.artifacts.folder import FolderStore
from backend.artifacts.objects import ObjectStore
from backend.artifacts.store import ArtifactStore

__all__ = ["ArtifactStore", "CodeStore", "FolderStore", "ObjectStore"]
