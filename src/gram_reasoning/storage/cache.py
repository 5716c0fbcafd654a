"""Where this package keeps what it can make again: GRAM_CACHE_DIR, or a folder of the user's cache."""

import os
from pathlib import Path

from gram_reasoning.errors import UserError


def cache_folder() -> Path:
    """The folder; it need not exist yet.

    Raises:
        UserError: GRAM_CACHE_DIR names none, and this user has no home.
    """
    if given := os.environ.get("GRAM_CACHE_DIR"):
        return Path(given)
    home = os.path.expanduser("~")  # stays "~" for a user without an entry, as in `docker run --user`
    if home == "~":
        raise UserError("no home folder for data, expected GRAM_CACHE_DIR to name a folder")
    return Path(home) / ".cache" / "gram-reasoning"


def made(folder: Path) -> Path:
    """The folder, made if need be, before the work whose result it is to hold.

    Raises:
        UserError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
        reason = "not writable"
    except OSError as error:
        writable, reason = False, error.strerror
    if not writable:
        raise UserError(
            f"{folder}: cannot be written ({reason}), expected a folder for data; GRAM_CACHE_DIR names another"
        )
    return folder
