"""What `gram eval --answers` prints."""

from typing import Any

from rich.table import Table

from gram_reasoning.evaluation.report import rendered


def sets_table(result: dict[str, Any]) -> str:
    """The set in both protocols, independent samples beside it, and every score."""
    title = (
        f"{result['checkpoint']} on {result['inputs']} {result['split']} inputs: at most {result['answers']} answers "
        f"for at most {result['budget']} steps an input, chosen by {_chosen_by(result)}"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    ways = {"the set": result}
    if "independent" in result:
        ways["independent samples"] = result["independent"]
    for way in ways:
        table.add_column(way, justify="right")

    def row(label: str, *path: str, percent: bool = True) -> None:
        values = []
        for way in ways.values():
            value: Any = way
            for key in path:
                value = value[key]
            values.append(f"{100 * value if percent else value:.1f}")
        table.add_row(label, *values)

    row("coverage, paper protocol", "paper", "coverage")
    row("coverage, unique inputs (macro)", "macro", "coverage")
    row("  of all that was held, paper", "held", "paper")
    row("  of all that was held, macro", "held", "macro")
    row("accuracy of the first answer", "macro", "selected_accuracy")
    row("right ones in the set", "precision")
    row("answers in the set", "set_size", percent=False)
    row("steps an input, mean", "mean_spent", percent=False)
    row("steps an input, most", "most_spent", percent=False)
    row("trajectories an input", "trajectories", percent=False)
    row("trajectories that repeat an answer", "duplicates")
    for score in result["by_score"]:
        row(f"coverage by {score}, paper", "by_score", score, "paper")
        row("  macro", "by_score", score, "macro")
        row("  risk left when it abstains (area)", "abstention", score, "area")
    if "worst_gap" in result["completeness"]:
        row("completeness, estimated (2+ solutions)", "completeness", "estimate")
        row("  true", "completeness", "truth")
        row("  worst gap of ten bins", "completeness", "worst_gap")
    return f"{title}\n{rendered(table)}"


def _chosen_by(result: dict[str, Any]) -> str:
    return "the rules" if result["choose"] == "verified" else f"the model ({result['score']})"
