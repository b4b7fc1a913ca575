"""`python -m speciate` is `speciate`."""

from speciate.cli import main

if __name__ == "__main__":
    main()
