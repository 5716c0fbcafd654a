"""Answering only where the score is high: the risk that is left at each share of inputs answered, and its area."""

from collections.abc import Sequence

import numpy as np


def risk_coverage(scores: Sequence[float], right: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """The risk of answering the inputs with the highest scores alone.

    Args:
        scores: of each input's choice.
        right: whether that choice is right.

    Returns:
        Shares of inputs answered, 1/M to 1, and at each the share of wrong choices among them (M,); inputs of one
        score are answered in a random order, in expectation.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    sorted_scores = np.asarray(scores, dtype=np.float64)[order]
    wrong = 1.0 - np.asarray(right, dtype=np.float64)[order]
    _, group = np.unique(-sorted_scores, return_inverse=True)
    mean = np.bincount(group, wrong) / np.bincount(group)
    answered = np.arange(1, len(wrong) + 1)
    return answered / len(wrong), np.cumsum(mean[group]) / answered


def area(risk: np.ndarray) -> float:
    """The area under the risk over the share answered (AURC): its mean; 0 is best."""
    return float(risk.mean())
