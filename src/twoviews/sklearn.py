"""SimCLR as a scikit-learn transformer: `fit` on pictures without labels, `transform` to h, in a Pipeline before any classifier."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .base.device import pick
from .base.errors import UserError
from .evaluate.subjects import named
from .nets.base import Encoder
from .nets.encoder import load_encoder
from .probes.features import features
from .sources.arrays import from_python
from .training.loop import train


class SimCLRTransformer(TransformerMixin, BaseEstimator):
    """Pictures → h (n, features) float32, by an encoder trained on the pictures of `fit`; labels are not used.

    Pictures: an array (n, H, W) or (n, H, W, C) of uint8, or of floats in [0, 1]; or a list of arrays, PIL images or file paths, of any sizes.

    Parameters
    ----------
    encoder : a name for a new encoder (resnet18, convnet, timm:NAME …), or a module, a copy of which is trained; None: the recipe's. With
        `pretrained` a RUN, a .safetensors file, timm:NAME or a module that is used as it is: `fit` then trains nothing.
    recipe : a named set of options; auto chooses by the pictures.
    epochs, batch, size : None: the recipe's.
    options : further fields of twoviews.TrainConfig, by name.
    out : the RUN folder; None: a temporary one, removed after `fit`. With a folder, an interrupted `fit` goes on where it was.
    random_state : whole number that all random numbers are keyed by.

    Attributes
    ----------
    encoder_ : the trained encoder. n_features_out_ : the length of h.
    """

    def __init__(
        self,
        encoder: str | nn.Module | None = None,
        *,
        pretrained: bool = False,
        recipe: str = "auto",
        epochs: int | None = None,
        batch: int | None = None,
        size: int | None = None,
        options: dict[str, Any] | None = None,
        out: str | Path | None = None,
        random_state: int = 0,
        device: str = "auto",
    ):
        self.encoder = encoder
        self.pretrained = pretrained
        self.recipe = recipe
        self.epochs = epochs
        self.batch = batch
        self.size = size
        self.options = options
        self.out = out
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any = None) -> SimCLRTransformer:
        """Train on pictures. Raises UserError (a ValueError) for what is no picture."""
        if self.pretrained:
            if self.encoder is None:
                raise UserError("pretrained=True needs an encoder: a RUN, a .safetensors file, timm:NAME or a module")
            self.encoder_: Encoder = named(self.encoder, self.size or 0).encoder
        else:
            source = from_python(_as_pictures(X))
            given = {"encoder": copy.deepcopy(self.encoder), "epochs": self.epochs, "batch": self.batch, "size": self.size}
            options = {k: v for k, v in given.items() if v is not None} | dict(self.options or {})
            options = {"channels": source.read(0).shape[0], "tensorboard": False, **options}
            with tempfile.TemporaryDirectory() as folder:
                run = train(source, self.out or folder, recipe=self.recipe, seed=self.random_state, device=self.device, **options)
                own = self.encoder if isinstance(self.encoder, nn.Module) and not isinstance(self.encoder, Encoder) else None
                self.encoder_ = load_encoder(run.path, module=copy.deepcopy(own))
        self.n_features_out_ = self.encoder_.num_features
        return self

    def transform(self, X: Any) -> np.ndarray:
        """h of each picture, (n, n_features_out_) float32, by the encoder's own preprocessing."""
        check_is_fitted(self, "encoder_")
        source = from_python(_as_pictures(X), self.encoder_.spec.channels)
        spec, device = self.encoder_.spec, pick(self.device)
        return features(self.encoder_.to(device), source, spec.size, spec.resize, device).cpu().numpy()

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """h0, h1, …"""
        check_is_fitted(self, "encoder_")
        return np.array([f"h{i}" for i in range(self.n_features_out_)], object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.no_validation = True  # pictures are no table of numbers
        return tags


def _as_pictures(pictures: Any) -> Any:
    """Arrays of floats in [0, 1] as uint8; everything else as it is."""
    if isinstance(pictures, np.ndarray) and pictures.dtype.kind == "f":
        if not np.isfinite(pictures).all() or pictures.min() < 0 or pictures.max() > 1:
            raise UserError("float pictures must lie in [0, 1] and be finite; give uint8 for 0 to 255")
        return (pictures * 255).round().astype(np.uint8)
    return pictures
