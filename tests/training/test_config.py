"""One truth for options: the dataclass, its recipes, what may change when a run goes on."""

from __future__ import annotations

import dataclasses

import pytest

from twoviews.base.errors import UserError
from twoviews.training.config import TrainConfig, differences, options, resolve
from twoviews.training.recipes import RECIPES, choose, recipe


def test_every_option_has_a_default_and_a_line_of_help():
    for name, field in options().items():
        assert field.default is not dataclasses.MISSING, name
        assert field.metadata["help"], name
    assert set(options()) > TrainConfig.free()


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_values_of_options(name):
    config = resolve(recipe(name).values, {})
    assert set(RECIPES[name].values) <= set(options())
    assert all(getattr(config, k) == v for k, v in RECIPES[name].values.items())
    assert all(v != getattr(TrainConfig(), k) for k, v in RECIPES[name].values.items()), "a recipe says only what differs"
    assert RECIPES[name].source


def test_the_paper_is_the_default():
    c = TrainConfig()
    assert (c.batch, c.temperature, c.learning_rate, c.weight_decay, c.strength, c.head_features) == (4096, 0.1, 0.3, 1e-6, 1.0, 128)


def test_given_over_recipe_over_default():
    assert resolve({"batch": 5, "epochs": 7}, {"batch": 9}) == TrainConfig(batch=9, epochs=7)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"bach": 5}, "Did you mean batch"),
        ({"temperature": 0}, "above 0"),
        ({"batch": 0}, "at least 1"),
        ({"optimizer": "lar"}, "Did you mean lars"),
        ({"head": "mlp4"}, "Did you mean mlp"),
        ({"momentum": 1.0}, "below 1"),
        ({"channels": 17}, "from 1 \\(gray\\) to 16"),
        ({"range": "5:2"}, "LOW below HIGH"),
        ({"learning_rate": -1}, "not be negative"),
    ],
)
def test_wrong_options(given, words):
    with pytest.raises(UserError, match=words):
        resolve({}, given)


def test_wrong_recipe():
    with pytest.raises(UserError, match="Did you mean cifar10"):
        recipe("cifar")


def test_auto():
    assert choose("digits", 1257, 8)[0] == "digits"
    assert choose("x", 50_000, 32)[0] == "cifar10"
    assert choose("x", 134, None)[0] == "photos"
    assert choose("x", 10**6, None)[0] == "paper"


def test_what_may_change():
    old = dataclasses.asdict(TrainConfig())
    assert differences(old, TrainConfig(device="cpu", workers=3)) == []
    assert differences(old, TrainConfig(batch=7, epochs=3)) == ["batch: 4096 → 7", "epochs: 100 → 3"]
