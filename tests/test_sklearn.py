"""SimCLR as a scikit-learn transformer: estimator checks, pipelines, clones, pickles."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from twoviews import SimCLRTransformer

QUICK = {"epochs": 2, "batch": 32, "size": 12, "encoder": "convnet", "device": "cpu"}


# The checks that feed tables of numbers do not apply to pictures (scikit-learn leaves them out itself); these look at the estimator.
APPLY = (
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
)


@pytest.mark.parametrize("name", APPLY)
def test_estimator_checks(name):
    getattr(estimator_checks, name)("SimCLRTransformer", SimCLRTransformer(**QUICK))


def test_not_fitted():
    with pytest.raises(NotFittedError):
        SimCLRTransformer().transform(pictures(2)[0])


def pictures(n=80, size=14):
    generator = np.random.default_rng(0)
    y = np.arange(n) % 2
    x = generator.integers(0, 100, (n, size, size, 3), dtype=np.uint8)
    x[y == 1, ..., 0] += 120
    return x, y


def test_in_a_pipeline_with_logistic_regression():
    x, y = pictures()
    model = make_pipeline(SimCLRTransformer(**QUICK), StandardScaler(), LogisticRegression())
    assert model.fit(x[:60], y[:60]).score(x[60:], y[60:]) > 0.9
    names = model[0].get_feature_names_out()
    assert len(names) == model[0].n_features_out_ == model[0].transform(x[:2]).shape[1]


def test_cloned_and_pickled():
    x, _ = pictures(40)
    one = SimCLRTransformer(**QUICK, options={"head": "linear"}, random_state=3)
    assert clone(one).get_params() == one.get_params()
    fitted = one.fit(x)
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.transform(x), fitted.transform(x))
    assert np.array_equal(clone(one).fit(x).transform(x), fitted.transform(x)), "the same random_state, the same encoder"
    assert fitted.transform(x).dtype == np.float32


def test_what_pictures_may_be(tmp_path):
    x, _ = pictures(40)
    fitted = SimCLRTransformer(**QUICK).fit(x)
    want = fitted.transform(x[:3])
    files = []
    for number in range(3):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(x[number]).save(files[-1])
    for same in (list(x[:3]), [Image.fromarray(p) for p in x[:3]], files, [str(f) for f in files], x[:3] / 255):
        assert np.abs(fitted.transform(same) - want).max() < 1e-5
    assert fitted.transform([x[0], x[1][:10]]).shape == (2, fitted.n_features_out_), "sizes may differ"
    gray = SimCLRTransformer(**QUICK).fit(x[..., 0])
    assert gray.encoder_.spec.channels == 1


def test_a_run_as_it_is(tmp_path):
    x, _ = pictures(40)
    made = SimCLRTransformer(**QUICK, out=tmp_path / "run").fit(x)
    used = SimCLRTransformer(tmp_path / "run", pretrained=True, device="cpu").fit(x[:1])
    assert np.abs(used.transform(x) - made.transform(x)).max() < 1e-6


def test_wrong_input():
    x, _ = pictures(40)
    for wrong, words in (
        ([], "no pictures"),
        ([np.zeros((3, 4, 5, 6), np.uint8)], "a picture is"),
        (x * 1.0, r"must lie in \[0, 1\]"),
        (["nowhere.png"], "is no picture"),
    ):
        with pytest.raises(ValueError, match=words):
            SimCLRTransformer(**QUICK).fit(wrong)
    with pytest.raises(ValueError, match="needs an encoder"):
        SimCLRTransformer(pretrained=True).fit(x)
