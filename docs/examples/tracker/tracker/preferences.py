"""How a person wants to see the tracker. It is kept in a cookie of this site, so no service is asked."""

from typing import Annotated, Literal

from pydantic import BaseModel

from bff import Cookie, Reply, Router, SetCookie

from .language import Preferred
from .upstreams import Language

router = Router(prefix="/api/preferences")

Theme = Literal["light", "dark"]
YEAR = 365 * 86_400


class Preferences(BaseModel):
    theme: Theme


class PreferencesScreen(Preferences):
    language: Language


@router.view("", public=True)
async def preferences_screen(
    language: Preferred, theme: Annotated[Theme, Cookie("tracker-theme")] = "light"
) -> PreferencesScreen:
    """For people who have not signed in, too. `Vary` names what it depends on: Accept-Language and Cookie."""
    return PreferencesScreen(theme=theme, language=language)


@router.command("", method="PUT")
async def set_preferences(wanted: Preferences) -> Reply[Preferences]:
    """Keep it for a year."""
    return Reply(wanted, cookies=(SetCookie("tracker-theme", wanted.theme, max_age=YEAR),))
