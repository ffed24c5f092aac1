"""Sentences: enough of them, none twice, none on both sides."""

import numpy as np
import pytest

from synatt.errors import UsageError
from synatt.quickstart.sentences import ACTIONS, CIRCUMSTANCES, SUBJECTS, scripts, sentences


def test_training_and_evaluation_share_no_sentence_subject_or_circumstance() -> None:
    assert not set(sentences("train")) & set(sentences("eval"))
    assert not set(SUBJECTS["train"]) & set(SUBJECTS["eval"])
    assert not set(CIRCUMSTANCES["train"]) & set(CIRCUMSTANCES["eval"])


@pytest.mark.parametrize("split", ["train", "eval"])
def test_every_sentence_is_one_of_its_kind_and_of_speakable_length(split: str) -> None:
    every = sentences(split)
    assert len(set(every)) == len(every) == len(SUBJECTS[split]) * len(ACTIONS) * len(CIRCUMSTANCES[split])
    assert all(8 <= len(text.split()) <= 14 and text[0].isupper() and text.endswith(".") for text in every)


def test_scripts_are_fixed_by_the_seed_and_never_repeat_a_sentence() -> None:
    first, again, other = (scripts("eval", [20, 20, 7], np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert [len(script) for script in first] == [20, 20, 7]
    assert len({text for script in first for text in script}) == 47


def test_more_sentences_than_there_are_is_an_error() -> None:
    with pytest.raises(UsageError, match="9999 train sentences"):
        scripts("train", [9999], np.random.default_rng(0))
