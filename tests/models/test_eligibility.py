"""What is said of the weights that pruning does not reach."""

from __future__ import annotations

from gossamer.models.adapter import Layer, LeftOut
from gossamer.models.eligibility import eligibility

LAYERS = [
    Layer("words", "embedding", 70, 10, gain=False),
    Layer("stem", "linear", 5, 10),
    *(Layer(f"block.{index}", "linear", 2, 10) for index in range(5)),
]


def test_a_model_that_is_pruned_whole_needs_no_words() -> None:
    assert eligibility(LAYERS[1:], {layer.name for layer in LAYERS[1:]}, [], 160) == []


def test_what_stays_dense_is_a_share_of_the_whole_model() -> None:
    assert eligibility(LAYERS, {"stem"}, [], 1000) == [
        "The pruned layers hold 5.0 % of the model's weights.",
        "Left dense, though layers= can name them: 'block.0', 'block.1', 'block.2' and 2 more "
        "(10.0 % of the model's weights).",
        "Left dense, as no kernel skips zeros there: 'words' (70.0 % of the model's weights); "
        "layers= that names them prunes them all the same.",
    ]


def test_what_was_asked_for_in_vain_is_said() -> None:
    notes = eligibility(LAYERS[:1], {"words"}, [], 1000)
    assert notes == [
        "The pruned layers hold 70.0 % of the model's weights.",
        "No gain here, as no kernel skips zeros there: 'words' (70.0 % of the model's weights).",
    ]


def test_what_cannot_be_pruned_is_told_with_its_reason() -> None:
    left = [LeftOut("a", "Foo", 20, "its weight is made of others"), LeftOut("b", "Bar", 10, "no")]
    left.append(LeftOut("c", "Foo", 30, "its weight is made of others"))
    assert eligibility([], set(), left, 100) == [
        "The pruned layers hold 0.0 % of the model's weights.",
        "Cannot be pruned, Foo: 'a', 'c' (50.0 % of the model's weights): its weight is made of "
        "others.",
        "Cannot be pruned, Bar: 'b' (10.0 % of the model's weights): no.",
    ]
