"""Make the cards of the models in the package from results/: `make cards`."""

from dataclasses import replace

import gram_reasoning
from gram_reasoning.storage import hub
from test_api import bundled_numbers

for folder in hub.bundled():
    solver = gram_reasoning.load(folder)
    replace(solver, card=None).save_pretrained(folder, bundled_numbers(folder.name))
    print(folder / "README.md")
