"""Write an `Upstream` class from a service's OpenAPI description: `bff new upstream`.

`document` reads the description, `schemas` makes definitions of its schemas (with `merging` where they have parts),
`models` writes them, `operations` makes methods of its operations, and `writer` puts both into one Python file.
"""

from .writer import Choices, write

__all__ = ["Choices", "write"]
