"""What a stage wrote, from its pod to the artifact store: all of it, or nothing that counts."""

from __future__ import annotations

from pathlib import Path

from backend.artifacts.content import kind_of, missing, survey
from backend.artifacts.manifest import output_of, outputs_of, pack_outputs
from backend.artifacts.transfer import send
from backend.errors import ArtifactError, ObjectStoreError
from backend.objects.bucket import open_bucket
from backend.objects.plan import Plan
from backend.run.state import Reason
from backend.stager.failure import Failure


async def publish(plan: Plan, root: Path, patience: float | None = None) -> None:
    """Publish all outputs that the plan names. Raises Failure, ObjectStoreError for a store that cannot be used."""
    bucket = open_bucket(plan.store, patience=patience)
    said = outputs_of(plan.attempt)
    if await bucket.head(said) is not None:
        return
    out = root / "out"
    try:
        for name in plan.outputs:  # nothing is sent unless all can be
            _check(out / name, name)
        records = {name: await send(out / name, bucket, output_of(plan.attempt, name)) for name in plan.outputs}
    except ObjectStoreError:
        raise
    except ArtifactError as error:
        raise Failure(Reason.MISSING_OUTPUT, error) from error
    await bucket.put(said, pack_outputs(records))


def _check(path: Path, name: str) -> None:
    """Raises ArtifactError for an output that is not there or cannot be passed on."""
    try:
        kind = kind_of(path)
    except FileNotFoundError:
        raise missing(name, path.parent) from None
    if kind == "folder":
        for _ in survey(path):
            pass
