"""What an open stream and an event on it cost here and elsewhere, measured in one run on one machine."""

from .contenders import ALL
from .report import RESULTS, markdown
from .run import Plan, compare

__all__ = ["ALL", "RESULTS", "Plan", "compare", "markdown"]
