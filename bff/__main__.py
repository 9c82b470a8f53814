"""`python -m bff` runs the command `bff`."""

import sys

from .cli import main

sys.exit(main())
