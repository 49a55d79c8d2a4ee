"""Numbers obtained by running the official code; each test is skipped where they are absent."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from tests.conftest import shared


@pytest.fixture(scope="session")
def golden_folder():
    return shared("golden", "the golden numbers of the official code")


@pytest.fixture(scope="session")
def golden(golden_folder):
    """golden("loss") → the arrays of loss.npz by name."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(golden_folder / f"{name}.npz", allow_pickle=False) as file:
            return dict(file)

    return load


@pytest.fixture(scope="session")
def generator(golden_folder):
    """generator("gen_weights") → the module that makes weights and pictures by formula."""

    def load(name: str):
        spec = importlib.util.spec_from_file_location(name, golden_folder / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
