"""JSON to values and back, so that what a service said leaves as it came or is refused.

The rule is the table "Values" in docs/contract.md. It holds for everything that crosses the gateway as JSON: answers of
services and of screens, bodies of commands and of calls, events, live values. `codec_of` gives the codec of a type,
made once; `text_of` prints one value for a path or a query.
"""

from .codec import ANY, Codec, Parameters, codec_of, encode, text_of
from .json_text import parsed

__all__ = ["ANY", "Codec", "Parameters", "codec_of", "encode", "parsed", "text_of"]
