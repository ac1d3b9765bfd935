"""`python -m backend`: the daemon."""

from backend.daemon import main
from backend.objects.leave import leave

if __name__ == "__main__":
    leave(main())
