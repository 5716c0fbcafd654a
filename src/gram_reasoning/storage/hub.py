"""Where models come from and go to: folders, the package itself, the Hugging Face Hub.

A shared model is `config.json`, `model.safetensors` and a card, `README.md`; nothing else is sent or fetched.
"""

import os
import re
from fnmatch import fnmatch
from pathlib import Path

from gram_reasoning.errors import UserError

BUNDLED = Path(__file__).parent.parent / "pretrained"


def bundled() -> list[Path]:
    """The folders of the models of the package, by name."""
    return sorted(folder for folder in BUNDLED.iterdir() if (folder / "config.json").is_file())


"""Models that come with the package, one folder each."""
FETCHED = ("config.json", "model*.safetensors", "model.safetensors.index.json")
CARD = "README.md"
SENT = ("config.json", "model.safetensors", CARD)


def foreign(folder: Path) -> list[str]:
    """The names in a folder that no shared model has."""
    names = sorted(path.name for path in folder.iterdir())
    return [name for name in names if not any(fnmatch(name, pattern) for pattern in (*FETCHED, CARD))]


def find_model(name: str) -> Path:
    """The folder of a model, by a path, by the name of one in the package, or by `owner/name` on the Hub."""
    if os.path.isdir(name or "."):  # unlike Path's, these never raise
        return Path(name)
    if os.path.exists(name):
        raise UserError(f"{name}: a file, expected the folder of a run or of a model")
    known = [folder.name for folder in bundled()]
    if name in known:
        return BUNDLED / name
    if re.fullmatch(r"[A-Za-z0-9][\w-]*/[A-Za-z0-9][\w.-]*", name):
        return _fetch(name)
    raise UserError(
        f"{name}: no such folder, expected a run or a model written by `gram train`, "
        f"one of the package ({', '.join(known)}), or owner/name on the Hugging Face Hub"
    )


def _fetch(name: str) -> Path:
    import huggingface_hub

    # HTTPError is that of the HTTP library that its version uses.
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(FETCHED)))
    except (HTTPError, OSError, ValueError) as error:
        raise UserError(
            f"{name}: no such folder, and the Hugging Face Hub does not give it ({_first_line(error)})"
        ) from error


def send(folder: Path, name: str, private: bool) -> str:
    """Put the files of a shared model into the repository `owner/name` of the Hub; returns its address.

    Raises:
        UserError: the Hub cannot be reached or refuses.
    """
    import huggingface_hub
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]

    api = huggingface_hub.HfApi()
    try:
        address = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, allow_patterns=list(SENT), commit_message="Add model")
    except (HTTPError, OSError, ValueError) as error:
        raise UserError(f"{name}: not sent to the Hugging Face Hub ({_first_line(error)})") from error
    return str(address)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
