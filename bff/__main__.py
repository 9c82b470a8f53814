"""`python -m bff` is `bff`."""

import sys

from .cli import main

sys.exit(main())
