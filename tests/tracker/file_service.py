"""The tracker's service of attachments as a module of these tests: `start_module` starts it as the README's
`python -m services.files` does, in a fifth of the time."""

import runpy
import sys

from tests.conftest import ROOT

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "docs" / "examples" / "tracker"))
    runpy.run_module("services.files", run_name="__main__")
