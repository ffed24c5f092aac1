"""Speech to copy: the quickstart's own."""

from tests.quickstart.conftest import formant_speech, neural_speech

__all__ = ["formant_speech", "neural_speech"]
