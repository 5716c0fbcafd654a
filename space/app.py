"""The page as a Hugging Face Space: `gram app` where a Space listens, within tighter limits."""

import sys

from gram_reasoning.cli import main

WHERE = ["--host", "0.0.0.0", "--port", "7860"]
LIMITS = ["--samples", "128", "--steps", "48", "--together", "2", "--queue", "32"]
sys.exit(main(["app", *WHERE, *LIMITS]))
