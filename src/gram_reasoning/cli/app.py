"""`gram app`: a page in the browser, from this machine alone."""

import os
import socket
from dataclasses import dataclass
from importlib.util import find_spec

from gram_reasoning.cli.border import in_range, parse, set_threads
from gram_reasoning.errors import UserError, check


@dataclass(frozen=True, kw_only=True)
class AppOptions:
    """Serve a page: choose a task, edit a puzzle on a board or paste it, and watch the answers come.

    It offers the models that come with the package and those of --checkpoint, and reaches this machine alone, unless
    --host says otherwise. It needs `pip install gram-reasoning[app]`. Ctrl-C ends it.
    """

    checkpoint: tuple[str, ...] = ()
    """Own models to offer beside those of the package: folders of runs or models."""
    host: str = "127.0.0.1"
    """Where to listen; 0.0.0.0 lets other machines in."""
    port: int = 7860
    """The port."""
    samples: int = 256
    """Most trajectories of a click."""
    steps: int = 64
    """Most supervision steps of a trajectory."""
    together: int = 4
    """Clicks that are answered at the same time, of all visitors."""
    queue: int = 64
    """Clicks that may wait; more are refused."""
    threads: int | None = None
    """CPU threads; the default is torch's."""


def run(arguments: list[str]) -> int:
    """Run `gram app` with these arguments until it is interrupted; returns the exit code."""
    options = parse(AppOptions, arguments, "gram app", "gram app --checkpoint runs/seven")
    in_range("port", options.port, 1, 65535)
    for name, most in (("samples", 100_000), ("steps", 10_000), ("together", 64), ("queue", 10_000)):
        in_range(name, getattr(options, name), 1, most)
    check(options.host != "", "--host", options.host, "an address of this machine")
    if find_spec("gradio") is None:
        raise UserError("gram app: the package gradio is missing, expected `pip install gram-reasoning[app]`")
    must_be_free(options.host, options.port)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

    from gram_reasoning.app.page import page, serve
    from gram_reasoning.app.run import Limits

    set_threads(options.threads)
    blocks = page(Limits(options.samples, options.steps), options.together, options.queue, options.checkpoint)
    print(f"{serve(blocks, options.host, options.port)} (Ctrl-C ends it)", flush=True)
    blocks.block_thread()
    return 0


def must_be_free(host: str, port: int) -> None:
    """UserError if the port is taken, or if the host is none of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        problem = f"cannot be served at {host} ({error.strerror}), expected a free port"
        raise UserError(f"--port {port}: {problem}") from error
