"""The way out of a sandbox: a proxy for each attempt whose service account declares destinations.

The stage has a network namespace of its own, with nothing but a loopback. `inside`, which starts the stage's command,
listens there and hands its listening sockets out by the one descriptor it was given; `python -m backend.egress`, which
runs outside in a session of its own, accepts on them. So nothing of it stays in the sandbox, no socket lies in a folder
that could be found, and the proxy ends with the command, whatever becomes of the daemon.
"""
