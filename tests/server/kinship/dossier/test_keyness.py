"""Key features: planted habits are found with the right counts, and nothing is where nothing was planted."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from kinprint.server.kinship.dossier import keyness
from kinprint.server.kinship.dossier.keyness import LEAST, Answered, KeyFeature, features, find, plain
from lineage_corpus import answer, make_models

WORDS = ("river", "stone", "market", "letter", "window", "garden", "engine", "paper", "silver", "winter", "bridge")
N, OTHERS = 40, 4


def words(seed: str, count: int = 25) -> str:
    """Words that no other answer has."""
    chance = random.Random(seed)
    own = "".join(chance.choices("bcdfghklmnpqrst", k=12))
    return " ".join(chance.choice(WORDS) + own for _ in range(count))


def answered(
    habit: Callable[[str], str] = lambda text: text,
    in_subject: int = N,
    in_source: int = N,
    in_others: int = 0,
    make: Callable[[str], str] = words,
) -> list[Answered]:
    """Answers to N prompts; `habit` changes so many answers of each side, the first ones."""

    def of(who: str, k: int, some: int) -> str:
        text = make(f"{who}/{k}")
        return habit(text) if k < some else text

    return [
        Answered(
            f"Prompt {k}",
            of("subject", k, in_subject),
            of("source", k, in_source),
            tuple(of(f"other{o}", k, in_others if o == 0 else 0) for o in range(OTHERS)),
        )
        for k in range(N)
    ]


def named(found: Sequence[KeyFeature], kind: str, text: str) -> KeyFeature:
    (one,) = [f for f in found if (f.kind, f.text) == (kind, text)]
    return one


@pytest.mark.parametrize(
    ("kind", "text", "habit"),
    [
        ("opening", "great question", lambda t: f"Great question! {t}"),
        ("phrase", "it is worth noting", lambda t: f"{t} it is worth noting {t[::-1]}"),
        ("word", "tapestry", lambda t: f"{t}, a tapestry {t[::-1]}"),
        ("punctuation", "—", lambda t: t.replace(" ", " — ", 1)),
        ("punctuation", "**", lambda t: f"**{t}**"),
        ("punctuation", "line: list items (-)", lambda t: t + "\n- one thing\n- another"),
        ("punctuation", "line: numbered items", lambda t: f"1. {t}\n2. {t[::-1]}"),
        ("punctuation", "line: headings (##)", lambda t: f"## {t[:20]}\n\n{t}"),
    ],
)
def test_a_planted_habit_is_found_and_counted(kind: str, text: str, habit: Callable[[str], str]) -> None:
    found = find(answered(habit, in_subject=30, in_source=20, in_others=4))
    one = named([f for f in found if f.kind == kind], kind, text)
    assert (one.subject_prompts, one.source_prompts) == (30, 20)
    assert (one.subject_rate, one.source_rate) == (30 / N, 20 / N)
    assert one.background_rate == pytest.approx(4 / (N * OTHERS))
    assert 1.0 < one.log10_ratio + 0.1 < 2.0
    assert len(one.examples) == 2
    for prompt, subject, source in one.examples:
        assert prompt in ("Prompt 0", "Prompt 1")
        assert len(subject) <= 240
        for excerpt in (subject, source):
            assert excerpt
            assert kind == "punctuation" or text in excerpt.lower().replace("!", "")
    assert f"{100 * 30 / N:.0f} %" in plain(one)


def test_what_nobody_else_has_is_told_as_such() -> None:
    one = named(find(answered(lambda t: f"Verily {t}")), "opening", "verily")
    assert one.background_rate == 0.0
    assert "against 0 % of other models' answers" in plain(one)


def test_what_one_of_the_two_has_does_not_tell() -> None:
    habit: Callable[[str], str] = lambda t: f"Great question! {t}"  # noqa: E731
    assert find(answered(habit, in_source=0)) == []
    assert find(answered(habit, in_subject=0)) == []
    assert find(answered(habit, in_subject=LEAST - 1)) == []
    assert find(answered(habit, in_others=0, in_subject=N, in_source=LEAST - 1)) == []


def test_what_everybody_has_does_not_tell() -> None:
    assert find(answered(make=lambda seed: f"Great question! {words(seed)}")) == []


def test_no_features_give_an_empty_list() -> None:
    assert find([]) == []
    assert find(answered()) == []
    assert find(answered(make=lambda _: "")) == []
    assert find([Answered("", "", "", ())]) == []


def test_without_other_models_nothing_tells() -> None:
    alone = [Answered(a.prompt, a.subject, a.source, ()) for a in answered(lambda t: f"Great question! {t}")]
    assert find(alone) == []


def test_the_same_answers_give_the_same_features() -> None:
    some = answered(lambda t: f"Great question! {t} — as it were, so to speak; and so on...\n- yes", in_others=3)
    found = find(some)
    assert found
    assert find(list(some)) == found
    assert find([Answered(a.prompt, a.source, a.subject, a.others) for a in some])[0].text == found[0].text


def test_features_are_few_and_say_different_things() -> None:
    long = "In the grand tapestry of things one must delve into robust and pivotal matters, as ever; truly so. "
    found = find(answered(lambda t: f"# Title\n\n{long}\n\n- {t}\n1. {long}! — **so** (it) goes... ```x``` > y"))
    assert 0 < len(found) <= keyness.SHOWN
    kinds = [f.kind for f in found]
    assert max(kinds.count(k) for k in kinds) <= keyness.PER_KIND
    for k, one in enumerate(found):
        assert not any(one.kind == other.kind and one.text == other.text for other in found[:k])
        assert one.text
        assert plain(one).endswith(".")
        assert one.log10_ratio > 0


def chinese(seed: str) -> str:
    chance = random.Random(seed)
    return "".join(chance.choice("山水木火土金日月星云风雨雪花草鸟鱼虫马牛羊") for _ in range(40))


def test_habits_in_scripts_without_spaces() -> None:
    found = find(answered(lambda t: f"总而言之，{t}。", make=chinese))
    opening = named([f for f in found if f.kind == "opening"][:1], "opening", "总而言之")
    assert (opening.subject_rate, opening.source_rate, opening.background_rate) == (1.0, 1.0, 0.0)
    assert opening.examples[0][1].startswith("总而言之")
    assert "，" in {f.text for f in found if f.kind == "punctuation"}


def test_habits_in_other_scripts() -> None:
    for phrase in ("ध्यान रहे कि", "следует отметить что", "من المهم أن"):
        found = find(answered(lambda t, phrase=phrase: f"{t} {phrase} {t[::-1]}"))
        assert named([f for f in found if f.kind == "phrase"][:1], "phrase", phrase).subject_rate == 1.0
        assert not any(f.kind == "punctuation" for f in found), "signs of vowels are no punctuation"


def test_features_of_an_answer() -> None:
    found = features("Don’t worry — it's FINE.\n\n## Next\n- one\n* two\n12. three\n> said\n| a | b |")
    for feature in (
        ("word", "don't"),
        ("word", "fine"),
        ("phrase", "don't worry"),
        ("phrase", "worry it's fine next"),
        ("opening", "don't worry it's fine"),
        ("punctuation", "—"),
        ("punctuation", "line: headings (##)"),
        ("punctuation", "line: list items (-)"),
        ("punctuation", "line: list items (*)"),
        ("punctuation", "line: numbered items"),
        ("punctuation", "line: quotations (>)"),
        ("punctuation", "line: tables (|)"),
    ):
        assert feature in found
    assert ("word", "12") not in found
    assert ("word", "ध्यान") in features("ध्यान रहे।")
    assert {f for f in features("ध्यान cafe\u0301") if f[0] == "punctuation"} == set()
    assert ("word", "cafe\u0301") in features("Cafe\u0301")
    assert features("") == features(" \n ") == set()
    beyond = "a" * 5 + " " * keyness.READ + "hidden"
    assert ("word", "hidden") not in features(beyond)


def test_an_excerpt_shows_the_feature_however_it_was_written() -> None:
    forms = ("you’ll find that", "You'll  find\nthat", "you'll_find that")
    some = answered()
    for k, a in enumerate(some):
        form = forms[k % 2] if k else forms[2]
        some[k] = Answered(a.prompt, f"{a.subject} {form} {a.subject}", f"{a.source} {form} {a.source}", a.others)
    one = named([f for f in find(some) if f.kind == "phrase"][:1], "phrase", "you'll find that")
    for _, subject, source in one.examples:
        assert "find" in subject
        assert "find" in source
        assert max(len(subject), len(source)) <= 230


@pytest.mark.parametrize(
    "text",
    [
        "'" * 3000,
        "d'a " * 800,
        "\x00\u202e</script><script>alert(1)</script>",
        "İ" * 50 + " ẞ ǅ",
        "(" * 500 + "[" * 500 + "\\" * 500,
        "👩‍👩‍👧‍👦" * 300,
        "a\u0301" * 900,
        "- \n" * 700,
    ],
)
def test_hostile_text(text: str) -> None:
    found = find(answered(lambda t: f"{text} {t} {text}"))
    for one in found:
        assert one.text
        assert plain(one)
        assert all(len(excerpt) <= 260 for example in one.examples for excerpt in example)


def test_relatives_of_the_synthetic_corpus_have_features() -> None:
    models = make_models(5, 2)
    some = [
        Answered(f"p{p}", answer(models[0], p), answer(models[1], p), tuple(answer(m, p) for m in models[2:]))
        for p in range(40)
    ]
    found = find(some)
    assert len(found) >= 4
    strengths = [f.log10_ratio for f in found]
    assert max(strengths) > 0.3
    for one in found:
        own = sum((one.kind, one.text) in features(a.subject) for a in some)
        assert one.subject_prompts == own
        background = [(one.kind, one.text) in features(o) for a in some for o in a.others]
        assert one.background_rate == pytest.approx(sum(background) / len(background))
