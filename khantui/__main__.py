"""`python -m khantui`."""

from khantui.cli import main

if __name__ == "__main__":
    main()
