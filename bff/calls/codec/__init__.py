"""JSON to values and back: a value of a service is passed on unchanged, or it is refused.

The rule is the table "Values" in docs/contract.md. It applies to everything that passes through the gateway as JSON:
answers of services and of screens, bodies of commands and of calls, events, live values. `codec_of` returns the codec
of a type, which is made once; `text_of` prints one value for a path or a query.
"""

from .codec import ANY, Codec, Parameters, codec_of, encode, text_of
from .json_text import parsed
from .schema import mentions

__all__ = ["ANY", "Codec", "Parameters", "codec_of", "encode", "mentions", "parsed", "text_of"]
