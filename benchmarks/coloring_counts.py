"""Which edge probability fits the published numbers of graph-colouring data: 7002 / 255 and 13,465 / 192.

Read as training pairs and test graphs at 15%, they are 1700 and 1280 graphs. For each edge probability: the number of
training pairs (validation counted in) over several seeds, and the ceiling of 20 independent samples on the test graphs.

    python benchmarks/coloring_counts.py results/coloring_counts.json
"""

import json
import sys
from pathlib import Path

import numpy as np

from gram_reasoning.evaluation.metrics import independent_ceiling, no_repeat_ceiling
from gram_reasoning.tasks.configs import GraphColoringConfig
from gram_reasoning.tasks.graph_coloring import GraphColoring

PUBLISHED = {
    8: (7002, 255, 1700, (0.50, 0.53, 0.54, 0.55, 0.56, 0.60)),
    10: (13465, 192, 1280, (0.38, 0.41, 0.42, 0.43, 0.46)),
}
SEEDS = range(10)


def main(path: Path) -> None:
    table = []
    for vertices, (pairs, test, graphs, probabilities) in PUBLISHED.items():
        for probability in probabilities:
            rows = []
            for seed in SEEDS:
                config = GraphColoringConfig(
                    vertices=vertices, graphs=graphs, edge_probability=probability, split_seed=seed
                )
                task = GraphColoring(config)
                held_out = task.split("test").count.numpy()
                trained = sum(int(task.split(name).count.sum()) for name in ("train", "validation"))
                ceilings = [f(held_out, 20).sum() / held_out.sum() for f in (independent_ceiling, no_repeat_ceiling)]
                rows.append((trained, len(held_out), *ceilings))
            mean, spread = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
            line = {
                "vertices": vertices,
                "edge_probability": probability,
                "graphs": graphs,
                "published_training_pairs": pairs,
                "training_pairs": round(float(mean[0]), 1),
                "training_pairs_deviation": round(float(spread[0]), 1),
                "published_test_graphs": test,
                "test_graphs": float(mean[1]),
                "independent_ceiling_20": round(float(mean[2]), 4),
                "no_repeat_ceiling_20": round(float(mean[3]), 4),
                "mean_solutions": round(float(mean[0]) / (graphs - test), 3),
            }
            table.append(line)
            print(line)
    path.write_text(json.dumps({"seeds": len(SEEDS), "rows": table}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
