"""Ctrl-C once, twice, and from a launcher; SIGTERM; what stood before comes back."""

import signal

import pytest

from gram_reasoning.training.signals import StopSignals


def test_the_first_is_noted_and_the_second_interrupts():
    noted: list[int] = []
    with StopSignals(noted.append):
        signal.raise_signal(signal.SIGINT)
        assert noted == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert noted == [signal.SIGINT]


def test_sigterm_never_interrupts_but_counts_as_the_first():
    noted: list[int] = []
    with StopSignals(noted.append):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert noted == [signal.SIGTERM, signal.SIGTERM]


def test_a_launcher_may_repeat_itself():
    noted: list[int] = []
    with StopSignals(noted.append, patient=True):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert noted == [signal.SIGINT] * 2


def test_what_stood_before_comes_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopSignals(lambda number: None):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
