import os
import tarfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def arc_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The genuine ARC files, unpacked: `training1`, `evaluation1`, the same with 2, `concept`, `combined`."""
    source = Path(os.environ.get("GRAM_DATA_DIR", "nowhere")) / "arc"
    if not source.is_dir():
        pytest.skip("GRAM_DATA_DIR does not point to the ARC files")
    target = tmp_path_factory.mktemp("arc")
    for name in ("arc-agi-1", "arc-agi-2", "conceptarc", "trm-kaggle-combined"):
        with tarfile.open(source / f"{name}.tar.gz") as archive:
            archive.extractall(target, filter="data")
    folders = {f"{p}{v}": target / f"ARC-AGI-{v}/data/{p}" for v in (1, 2) for p in ("training", "evaluation")}
    return {
        **folders,
        "concept": target / "ConceptARC/corpus",
        "combined": target / "trm-kaggle-combined/kaggle/combined",
    }
