"""`uses`: a stage that is another pipeline's, with what its user says differently."""

from __future__ import annotations

from backend.spec.model import Stage


def take(stage: Stage, used: Stage) -> Stage:
    """`stage` (which says `uses`) with everything that it leaves open taken from the stage `used`."""
    own_command = bool(stage.run or stage.script)
    nothing = Stage()
    return Stage(
        image=stage.image or used.image,
        run=stage.run if own_command else used.run,
        script=stage.script if own_command else used.script,
        inputs=stage.inputs or used.inputs,
        outputs=stage.outputs or used.outputs,
        after=stage.after,
        each=stage.each or used.each,
        retries=stage.retries if stage.retries != nothing.retries else used.retries,
        timeout=stage.timeout if stage.timeout is not None else used.timeout,
        resources=stage.resources if stage.resources != nothing.resources else used.resources,
        kubernetes=stage.kubernetes if stage.kubernetes != nothing.kubernetes else used.kubernetes,
        uses=stage.uses,
        cache=stage.cache if stage.cache is not None else used.cache,
        description=stage.description or used.description,
    )
