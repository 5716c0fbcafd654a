"""The page as a Hugging Face Space: `gram app` on the address and the port that a Space listens on, within tighter limits."""

import sys

from gram_reasoning.cli import main

sys.exit(
    main(
        [
            "app",
            "--host",
            "0.0.0.0",
            "--port",
            "7860",
            "--samples",
            "128",
            "--steps",
            "48",
            "--together",
            "2",
            "--queue",
            "32",
        ]
    )
)
