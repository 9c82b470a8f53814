"""What an open stream and an event on it cost here and in other servers, measured in one run on one machine."""

from .contenders import BETTER_SSE, HANDWRITTEN, NCHAN_SERVER
from .figures import Plan
from .ours import EARLIER, OURS
from .report import RESULTS, markdown
from .run import compare

ALL = (OURS, NCHAN_SERVER, BETTER_SSE, HANDWRITTEN, EARLIER)

__all__ = ["ALL", "RESULTS", "Plan", "compare", "markdown"]
