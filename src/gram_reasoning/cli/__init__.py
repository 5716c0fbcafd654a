"""The command `gram`, a file a command; `border.py` has what they share towards the user. Loads no torch by itself."""

from gram_reasoning.cli.main import HELP, main

__all__ = ["HELP", "main"]
