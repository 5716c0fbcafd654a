"""What of an evaluation goes into the log of training."""

from gram_reasoning.training.monitor import brief


def test_the_log_tells_what_a_task_measures_beyond_accuracy():
    more = {"conflicts": {"mean": 0.5}, "measures": {"distance": 3.0}}
    assert more.items() <= brief({"inputs": 3, **more}).items()


def test_accuracies_go_by_their_names():
    every = {"single_sample_accuracy": 0.1, "best_of_samples_accuracy": 0.2, "coverage": 0.3}
    several = {"single_sample_accuracy": 0.4, "coverage": 0.5, "independent_ceiling": 0.6}
    assert brief({"inputs": 3, "macro": every, "macro_several": several}) == {
        "inputs": 3,
        "accuracy": 0.1,
        "best": 0.2,
        "coverage": 0.3,
        "several_accuracy": 0.4,
        "several_coverage": 0.5,
        "several_ceiling": 0.6,
    }
