"""`gram app` on a free port, noting whom it calls: `python tests/app/served.py FOLDER [OPTIONS]`."""

import socket
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Write down every host that is not this machine."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in (None, "", "localhost", "::1", "0.0.0.0") and not str(host).startswith("127."):
        with open(FOLDER / "called.txt", "a") as file:
            file.write(f"{event} {host}\n")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


sys.addaudithook(note)

from gram_reasoning.cli import main  # noqa: E402 - after the hook

sys.exit(main(["app", "--port", str(free_port()), *sys.argv[2:]]))
