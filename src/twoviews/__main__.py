"""`python -m twoviews`, which torchrun needs."""

from .cli.main import run

run()
