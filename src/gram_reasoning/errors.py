"""The exceptions that the command line turns into one line."""


class UserError(ValueError):
    """Bad input: one line that says what is wrong, where, and what was expected.

    The command line prints it and exits with code 2; anything else that is raised is a bug and keeps its
    traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))  # what a user typed may hold line ends and control characters


class Ambiguous(UserError):
    """Input with two readings, both named: it is refused rather than guessed."""


class Broken(UserError):
    """Input of the right form, whose content breaks the rules of its task."""


def one_line(message: str) -> str:
    """The same with escapes in place of line ends and control characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)


def check(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise the UserError of a setting that is out of range, unless `holds`."""
    if not holds:
        raise UserError(f"{name}: got {value!r}, expected {expected}")


class Failed(RuntimeError):
    """The work began well and could not go on: one line that says where it stands; exit code 1."""
