"""The exceptions that the command line turns into one line."""


class UserError(ValueError):
    """Bad input: one line that says what is wrong, where, and what was expected.

    The command line prints it and exits with code 2; anything else that is raised is a bug and keeps its
    traceback.
    """

    def __init__(self, message: str) -> None:
        # What a user typed may hold line ends and control characters.
        shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
        super().__init__("".join(shown))


def check(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise the UserError of a setting that is out of range, unless `holds`."""
    if not holds:
        raise UserError(f"{name}: got {value!r}, expected {expected}")


class Failed(RuntimeError):
    """The work began well and could not go on: one line that says where it stands; exit code 1."""
