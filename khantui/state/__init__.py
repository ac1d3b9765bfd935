"""What the screens know of the daemon: one connection, and the rows, runs and logs that are kept in step by it."""
