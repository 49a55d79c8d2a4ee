"""The studies by name."""

from __future__ import annotations

from ..base.errors import unknown
from .architecture import FIGURE7, FIGURE8, TABLE3
from .augmentation import FIGURE5, TABLE1
from .loss import B9, FIGURE9, TABLE4, TABLE5
from .standing import TABLE6, TABLE7, TABLE8
from .study import Study

STUDIES = {s.name: s for s in (FIGURE5, TABLE1, FIGURE7, FIGURE8, TABLE3, TABLE4, TABLE5, FIGURE9, TABLE6, TABLE7, TABLE8, B9)}
ALSO = {"table2": "table4", "figure1": "table6"}  # one experiment, two places in the paper


def study_of(name: str) -> Study:
    """A study by its name. Raises UserError with the nearest name."""
    name = ALSO.get(name, name)
    if name not in STUDIES:
        raise unknown("experiment", name, [*STUDIES, *ALSO, "list"])
    return STUDIES[name]
