"""Generative recursive reasoning (GRAM) in PyTorch."""

__version__ = "0.1.0"
