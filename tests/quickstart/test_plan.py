"""The plan: who is known, who is unknown, and what must not be shared between training and evaluation."""

from collections import Counter

import pytest

from synatt.errors import UsageError
from synatt.quickstart import roster
from synatt.quickstart.plan import Clip, Sizes, jobs, plan
from synatt.quickstart.roster import ALGORITHMS, CLASSES, KNOWN, available

PACKAGED = available(system=False)
SIZES = Sizes(train_known=8, train_unknown=6, eval_known=4, eval_unknown=4)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return plan(7, SIZES, ALGORITHMS)


def of(clips: list[Clip], split: str) -> list[Clip]:
    return [clip for clip in clips if clip.utterance.split == split]


def test_packages_alone_give_five_known_algorithms_and_three_that_training_never_hears() -> None:
    roles = Counter(a.role for a in PACKAGED)
    assert roles["known"] >= 5 and roles["train_unknown"] >= 2 and roles["eval_unknown"] >= 3
    assert tuple(a.name for a in PACKAGED if a.role == "known") == KNOWN == CLASSES[:-1]
    assert CLASSES[-1] == "unknown"


def test_unknowns_of_evaluation_are_not_in_training(clips: list[Clip]) -> None:
    heard = {clip.generator for clip in of(clips, "train")}
    judged = {clip.generator for clip in of(clips, "eval")}
    assert heard & judged == set(KNOWN)
    assert {a.name for a in ALGORITHMS if a.role == "eval_unknown"} == judged - set(KNOWN)


def test_sentences_and_espeak_voices_are_apart(clips: list[Clip]) -> None:
    texts = {split: {clip.utterance.text for clip in of(clips, split)} for split in ("train", "eval")}
    assert not texts["train"] & texts["eval"]
    levels = [
        {c.utterance.text for c in of(clips, "eval") if c.utterance.level == level} for level in ("clean", "weak")
    ]
    assert not levels[0] & levels[1]
    voices = {
        split: {c.utterance.voice for c in of(clips, split) if c.utterance.generator.startswith("espeak")}
        for split in ("train", "eval")
    }
    assert voices["train"] and voices["eval"] and not voices["train"] & voices["eval"]


def test_counts_are_as_asked(clips: list[Clip]) -> None:
    found = Counter((c.utterance.split, c.utterance.level, c.generator) for c in clips)
    for a in ALGORITHMS:
        assert found["train", "clean", a.name] == SIZES.count("train", a)
        assert all(found["eval", level, a.name] == SIZES.count("eval", a) for level in ("clean", "weak", "strong"))


def test_all_copies_are_made_of_the_same_utterances_half_of_each_source(clips: list[Clip]) -> None:
    copies = {a.name for a in ALGORITHMS if a.is_copy and a.role == "known"}
    made = {name: [c.utterance for c in of(clips, "train") if c.generator == name] for name in copies}
    assert len({tuple(sources) for sources in made.values()}) == 1
    assert Counter(u.generator for u in next(iter(made.values()))) == {"espeak_formant": 4, "piper_vits": 4}


def test_an_algorithm_more_changes_nothing_else(clips: list[Clip]) -> None:
    fewer = plan(7, SIZES, PACKAGED)
    assert set(fewer) < set(clips)
    assert {c.generator for c in set(clips) - set(fewer)} == {a.name for a in ALGORITHMS if a.is_system}


def test_tracks_are_unique_and_another_seed_shares_none(clips: list[Clip]) -> None:
    other = plan(8, SIZES, ALGORITHMS)
    assert len({c.track for c in clips}) == len(clips)
    assert not {c.track for c in clips} & {c.track for c in other}
    assert plan(7, SIZES, ALGORITHMS) == clips


def test_track_names_do_not_tell_the_class(clips: list[Clip]) -> None:
    words = {word for a in ALGORITHMS for word in a.name.split("_")} | {"clean", "weak", "strong", "unknown"}
    assert not any(word in c.track for c in of(clips, "eval") for word in words)


def test_a_job_says_one_utterance_once(clips: list[Clip]) -> None:
    groups = jobs(clips)
    assert sorted(c.track for group in groups for c in group) == sorted(c.track for c in clips)
    assert all(len({c.utterance for c in group}) == 1 for group in groups)
    assert len(groups) == len({c.utterance for c in clips})


def test_labels_index_the_classes(clips: list[Clip]) -> None:
    for clip in clips:
        assert CLASSES[clip.label] == (clip.generator if clip.generator in KNOWN else "unknown")


def test_scale_multiplies_and_never_goes_below_two() -> None:
    assert Sizes(60, 36, 20, 12).scaled(0.5) == Sizes(30, 18, 10, 6)
    assert Sizes(60, 36, 20, 12).scaled(0.001) == Sizes(2, 2, 2, 2)
    with pytest.raises(UsageError, match="above 0"):
        Sizes().scaled(0)


def test_a_missing_package_is_one_line_that_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "PACKAGES", ("numpy", "no_such_synthesizer"))
    with pytest.raises(UsageError, match=r"\(no_such_synthesizer\).*uv run --extra quickstart") as caught:
        roster.require_packages()
    assert "\n" not in str(caught.value)


def test_an_algorithm_of_the_system_joins_only_when_its_programs_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster.shutil, "which", lambda program: "/bin/x" if program in ("c2enc", "flite") else None)
    monkeypatch.setattr("synatt.quickstart.synthesizers.natural.present", lambda: False)
    joined = {a.name for a in available()} - {a.name for a in PACKAGED}
    assert joined == {"flite_clustergen", "flite_diphone"}  # codec2 needs c2dec too
