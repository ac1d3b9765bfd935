"""How the command line and the screens talk with the daemon."""
