"""`python -m gram_reasoning`, the same as `gram`."""

import sys

from gram_reasoning.cli import main

sys.exit(main())
