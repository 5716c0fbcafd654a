"""`gram app` on a free port, noting whom it calls: `python tests/app/served.py FOLDER`.

It offers the models of the package and, where it has none for that, two untrained ones that generate.
"""

import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])
GENERATING = {"boards": "sudoku4-boards", "digits": "mnist-pocket"}


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


def models() -> Path:
    """A folder with the bundled models and those that are missing."""
    from gram_reasoning.build import build_model, build_task
    from gram_reasoning.config import to_json
    from gram_reasoning.recipes import get_recipe
    from gram_reasoning.storage import checkpoint, hub

    folder = FOLDER / "models"
    folder.mkdir()
    for model in hub.BUNDLED.iterdir():
        (folder / model.name).symlink_to(model)
    for name, recipe_name in GENERATING.items():
        if not (folder / name).exists():
            recipe = get_recipe(recipe_name)
            recipe = replace(recipe, model=recipe.model.small())
            config = {"format": checkpoint.FORMAT, "step": 0, "recipe": to_json(recipe)}
            weights = {"model": build_model(recipe, build_task(recipe)).state_dict()}
            checkpoint.save_folder(folder / name, weights, {"config": config})
    return folder


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


sys.addaudithook(note)

from gram_reasoning.app import bundled  # noqa: E402 - after the hook
from gram_reasoning.cli import main  # noqa: E402

bundled.BUNDLED = models()
sys.exit(main(["app", "--port", str(free_port())]))
