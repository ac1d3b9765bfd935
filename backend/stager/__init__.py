"""The stager: brings a stage's inputs to its pod before it runs, and publishes what it wrote after it.

    python -m backend.stager fetch      KHAN_PLAN → /khan/in, /khan/code, /khan/script.*
    python -m backend.stager publish    /khan/out → the artifact store

It runs in the containers `fetch` and `publish` of a stage's pod, where the artifact store is an object store. What it
is to do is in KHAN_PLAN (`backend.objects.plan`); credentials, region and endpoint are in the environment, as
`backend.objects` takes them. It leaves with 0 when all is done, else with 1, and says why in
/dev/termination-log, as JSON: {"reason": a `Reason` of backend.run.state, "message": for people}.
KHAN_ROOT (/khan) and KHAN_TERMINATION_LOG (/dev/termination-log) move the places; KHAN_PATIENCE (60) is for how many
seconds a store that does not answer is asked again.

Both may be run again, also after having been killed: `fetch` writes everything anew, and `publish` does nothing more
once the attempt's outputs.json is in the store, which is written when all else is there. Neither needs more than
160 MiB of memory, whatever the size of the artifacts; `fetch` needs the disk that inputs take.

An image for it has Python and the packages msgspec and obstore, and of this project the modules that
`python -m backend.stager modules` lists: `errors`, `layout` and the packages `stager`, `objects`, `artifacts`, and
the little that these import of `run` and `spec`.
"""
