"""Inputs, code and script, from the artifact store to where the stage finds them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from backend.artifacts.code import missing_code, unpack_into
from backend.artifacts.content import remove
from backend.artifacts.manifest import bundle_of
from backend.artifacts.transfer import receive
from backend.errors import ArtifactError, InvalidRequest, ObjectStoreError
from backend.objects.bucket import Bucket, open_bucket
from backend.objects.plan import Plan
from backend.run.state import Reason
from backend.stager.failure import Failure


async def fetch(plan: Plan, root: Path, patience: float | None = None) -> None:
    """Bring all that the plan names. Raises Failure, ObjectStoreError for a store that cannot be used."""
    bucket = open_bucket(plan.store, patience=patience)
    for name in ("in", "code"):
        (root / name).mkdir(parents=True, exist_ok=True)
    if plan.script:
        script = root / _inside(plan.script_name)
        script.unlink(missing_ok=True)
        script.write_text(plan.script, encoding="utf-8")
        script.chmod(0o444)
    if plan.code:
        await _code(bucket, plan.code, root / "code")
    for item in plan.inputs:
        try:
            await receive(bucket, item.location, item.kind, root / "in" / _inside(item.place), sha256=item.sha256)
        except ObjectStoreError:
            raise
        except ArtifactError as error:
            raise Failure(Reason.MISSING_INPUT, error, f"the input {item.place!r}") from error


async def _code(bucket: Bucket, address: str, folder: Path) -> None:
    key = bundle_of(address)
    if await bucket.head(key) is None:
        raise Failure(Reason.MISSING_INPUT, missing_code(address))
    for left in folder.iterdir():  # of an earlier try; the folder itself is a mount, and stays
        remove(left)
    unpack_into(await bucket.get(key), folder)


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise InvalidRequest(f"{name!r} in the plan leads out of its folder")
    return path
