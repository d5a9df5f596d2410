from __future__ import annotations

from typing import Any

import pytest

from gossamer.errors import ModelError, OptionError
from gossamer.models.adapter import Layer
from gossamer.models.selection import choose_layers


def linear(name: str, block: str | None = None) -> Layer:
    return Layer(name, "linear", 4, 4, block=block)


def conv(name: str, depthwise: bool = False, block: str | None = None) -> Layer:
    return Layer(name, "convolution", 4, 9, depthwise=depthwise, block=block)


def names(layers: list[Layer], choice: Any = None) -> list[str]:
    return [layer.name for layer in choose_layers(layers, choice)]


def test_a_transformer_is_pruned_in_its_blocks() -> None:
    layers = [conv("patches"), linear("l.0.a", "l.0"), linear("l.1.a", "l.1"), linear("head")]
    assert names(layers) == ["l.0.a", "l.1.a"]


def test_another_model_keeps_stem_classifier_and_depthwise_convolutions_dense() -> None:
    layers = [conv("stem"), conv("a", block="s.0"), conv("b", depthwise=True), linear("head")]
    assert names(layers) == ["a"]


def test_layers_whose_zeros_are_not_skipped_are_pruned_where_they_are_named() -> None:
    table = Layer("words", "embedding", 100, 4, gain=False)
    layers = [table, linear("stem"), linear("a"), linear("head")]
    assert names(layers) == ["a"]
    assert names(layers, "words|head") == ["words", "head"]
    with pytest.raises(ModelError, match="by default; name some with layers=, such as 'words'"):
        choose_layers([table], None)


def test_a_model_of_one_or_two_layers_is_pruned_whole() -> None:
    assert names([linear("a"), linear("b")]) == ["a", "b"]
    assert names([linear("a")]) == ["a"]


def test_the_user_may_choose_by_expression_or_by_name() -> None:
    layers = [linear("stem"), linear("a.query"), linear("a.key"), linear("head")]
    assert names(layers, r"query|head") == ["a.query", "head"]
    assert names(layers, ["head", "stem"]) == ["stem", "head"]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("nothing", "fits no prunable layer"),
        ("(", "not a regular expression"),
        (["a", "z"], "'z'"),
        ([], "layers= is empty"),
        ("", "layers= is empty"),
    ],
)
def test_a_choice_that_fits_nothing_is_refused(choice: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        choose_layers([linear("a")], choice)


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(ModelError, match="no prunable layers"):
        choose_layers([], None)
    with pytest.raises(ModelError, match="by default"):
        choose_layers([conv("a", depthwise=True)], None)
