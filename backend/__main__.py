"""`python -m backend`: the daemon."""

from backend.daemon import main

if __name__ == "__main__":
    raise SystemExit(main())
