"""Write an `Upstream` class from a service's OpenAPI description: `bff new upstream`.

`document` reads the description, `schemas` makes models of its schemas, `operations` makes methods of its operations,
`writer` puts both into one Python file.
"""

from .writer import Choices, write

__all__ = ["Choices", "write"]
