"""One truth for options: the dataclass, its recipes, what may change when a run goes on."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from twoviews.base.errors import UserError
from twoviews.evaluate.config import EvalConfig
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


def test_recipes_are_the_papers():
    """Section 2.2, section 4, B.1, B.9 of the paper, and the official READMEs, number by number."""
    from twoviews.optim.schedule import peak
    from twoviews.training.config import resolve

    def of(name):
        return resolve(recipe(name).values, {})

    for name in ("paper", "imagenet"):
        c = of(name)
        assert (c.encoder, c.size, c.batch, c.optimizer, c.momentum) == ("resnet50", 224, 4096, "lars", 0.9)
        assert (c.weight_decay, c.temperature, c.warmup_epochs, c.head, c.head_features) == (1e-6, 0.1, 10, "mlp2", 128)
        assert (c.strength, c.jitter, c.gray, c.blur, c.flip, c.crop_min) == (1.0, 0.8, 0.2, 0.5, 0.5, 0.08)
        assert peak(c.learning_rate, c.batch, c.scaling) == pytest.approx(4.8)
    assert of("imagenet").epochs == 1000
    v2 = of("imagenet-v2")
    assert (v2.head, v2.weight_decay, v2.scaling) == ("mlp3", 1e-4, "sqrt")
    assert peak(v2.learning_rate, v2.batch, v2.scaling) == pytest.approx(4.8)
    b9 = of("cifar10-paper")
    assert (b9.encoder, b9.stem, b9.batch, b9.temperature, b9.strength, b9.blur, b9.epochs) == (
        "resnet50",
        "small",
        1024,
        0.5,
        0.5,
        0.0,
        1000,
    )
    readme = of("cifar10")
    assert (readme.encoder, readme.batch, readme.weight_decay, readme.head) == ("resnet18", 512, 1e-4, "mlp3")
    assert peak(readme.learning_rate, readme.batch, readme.scaling) == pytest.approx(2.0)
    stl = of("stl10")
    assert (stl.encoder, stl.batch, stl.temperature, stl.head_features, stl.epochs) == ("resnet18", 256, 0.5, 64, 100)
    nette = of("imagenette")
    assert (nette.encoder, nette.size, nette.batch, nette.temperature, nette.epochs, nette.optimizer) == (
        "resnet18",
        128,
        256,
        0.5,
        800,
        "sgd",
    )
    assert peak(nette.learning_rate, nette.batch, nette.scaling) == pytest.approx(0.06)
    for name in RECIPES.keys() - {"photos", "digits"}:  # these are ours
        assert recipe(name).expected
        assert recipe(name).cost


@pytest.mark.parametrize(
    ("config", "given", "words"),
    [
        (EvalConfig, {"k": "5"}, "k is '5', of type str; it must be a whole number"),
        (EvalConfig, {"k": 2.5}, "k is 2.5"),
        (EvalConfig, {"k": float("nan")}, "k is nan"),
        (EvalConfig, {"k": True}, "k is True"),
        (EvalConfig, {"labels": 1}, "labels is 1"),
        (EvalConfig, {"labels": (5,)}, "labels is 5"),
        (EvalConfig, {"baselines": None}, "baselines is None"),
        (EvalConfig, {"device": 0}, "device is 0"),
        (EvalConfig, {"protocol": 3}, "one of lbfgs, sgd"),
        (TrainConfig, {"epochs": "1"}, "epochs is '1'"),
        (TrainConfig, {"width": "2"}, "width is '2', of type str; it must be a number"),
        (TrainConfig, {"normalize": 1}, "True or False"),
    ],
)
def test_wrong_types_are_type_errors_in_words(config, given, words):
    with pytest.raises(TypeError, match=re.escape(words)) as caught:
        config(**given)
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize("given", [{"knn_temperature": float("inf")}, {"knn_temperature": float("nan")}, {"seed": -1}, {"labels": ()}])
def test_numbers_and_labels_that_nothing_can_be_done_with_are_refused(given):
    with pytest.raises(UserError, match=next(iter(given))):
        EvalConfig(**given)


def test_a_lone_text_a_list_a_path_and_numpys_numbers_are_taken():
    config = EvalConfig(labels="5", baselines=["pixels"], root=Path("data"), k=np.int64(3), knn_temperature=1)
    assert (config.labels, config.baselines, config.root, config.k, config.knn_temperature) == (("5",), ("pixels",), "data", 3, 1)


def test_settings_of_a_json_file_are_taken():
    config = TrainConfig(parts=("train=a",), temperature=1)
    assert TrainConfig(**json.loads(json.dumps(dataclasses.asdict(config)))) == config
