"""What somebody may upload so that it runs as the site, and a browser that tries to make it run.

Each payload names itself: it asks for `/ran/<name>`, sets a cookie and an entry of the storage. So a script that ran is
known by its name, wherever it ran.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from urllib.parse import quote

from playwright.async_api import BrowserContext, Error, Page

MARK = "/ran/"


def script(name: str) -> str:
    """A script that says that it ran."""
    return (
        f"fetch('{MARK}{name}');try{{document.cookie='ran={name}';localStorage.ran='{name}';}}catch(e){{}}"
        f"if(typeof opener!=='undefined'&&opener)try{{opener.document.title='ran {name}'}}catch(e){{}}"
    )


def html(name: str) -> str:
    return (
        f'<!doctype html><title>x</title><script>{script(name)}</script><img src=x onerror="{script(name)}">'
    )


def uploads() -> dict[str, tuple[str, bytes]]:
    """By the name of the file: the media type that its uploader gives, and its bytes."""
    found: dict[str, tuple[str, bytes]] = {}

    def add(name: str, media: str, text: str | bytes = "") -> None:
        body = text or html(name)
        found[name] = (media, body if isinstance(body, bytes) else body.encode())

    add("page.html", "text/html")
    add("by-name.html", "")
    add("report.pdf", "text/html")
    add("page.xhtml", "application/xhtml+xml", _xhtml("page.xhtml"))
    add("drawing.svg", "image/svg+xml", _svg("drawing.svg"))
    add("drawing.svgz", "image/svg+xml; charset=utf-8", _svg("drawing.svgz"))
    add("data.xml", "application/xml", _styled("data.xml", "sheet.xsl"))
    add("text.xml", "text/xml", _xhtml("text.xml"))
    add("sheet.xsl", "text/xsl", _sheet("data.xml"))
    add("feed.xml", "application/rss+xml", _xhtml("feed.xml"))
    add("math.mml", "application/mathml+xml", _xhtml("math.mml"))
    add("archive.mht", "multipart/related; boundary=b", _multipart("archive.mht"))
    add("mail.eml", "message/rfc822", _multipart("mail.eml"))
    add("replaced", "multipart/x-mixed-replace; boundary=b", _multipart("replaced"))
    add("mixed", "multipart/mixed; boundary=b", _multipart("mixed"))
    add("form", "multipart/form-data; boundary=b", _multipart("form"))
    # What a browser that guesses would take for a page.
    for name, media in (
        ("sniff.txt", "text/plain"),
        ("sniff.png", "image/png"),
        ("sniff.json", "application/json"),
        ("sniff.mp4", "video/mp4"),
        ("sniff.bin", "application/octet-stream"),
        ("sniff.unknown", "unknown/unknown"),
        ("sniff.star", "*/*"),
        ("sniff.none", "none"),
        ("sniff.empty", ";charset=utf-8"),
    ):
        add(name, media)
    # What two readers of a media type could read differently.
    for name, media in (
        ("upper.html", "TEXT/HTML"),
        ("blank.html", "text/html ; charset=utf-8"),
        ("tab.html", "text/html\t;charset=utf-8"),
        ("comma.html", "image/png, text/html"),
        ("comma-back.html", "text/html, image/png"),
        ("semicolon.html", "image/png;text/html"),
        ("slashes.html", "text/html/image/png"),
        ("quoted.html", 'image/png; a="b, text/html"'),
        ("utf-7.html", "text/html; charset=utf-7"),
        ("utf-16.html", "text/html; charset=utf-16le"),
        ("jis.html", "text/html; charset=iso-2022-jp"),
        ("two-charsets.html", "text/html; charset=utf-8; charset=utf-7"),
    ):
        add(name, media)
    found["utf-7.html"] = (found["utf-7.html"][0], _utf7("utf-7.html"))
    found["utf-16.html"] = (found["utf-16.html"][0], html("utf-16.html").encode("utf-16le"))
    # A picture and a script at once, and plain scripts and styles under types of all kinds.
    gif = b"GIF89a/*" + b"\x00" * 20 + b"*/=1;" + script("both.gif").encode()
    add("both.gif", "image/gif", gif)
    for name, media in (
        ("code.js", "text/javascript"),
        ("code.mjs", "application/javascript"),
        ("code.ecma", "application/ecmascript"),
        ("code.txt", "text/plain"),
        ("code.json", "application/json"),
        ("code.bin", "application/octet-stream"),
    ):
        add(name, media, script(name))
    # Names that break out of a header, of an attribute, or of a path.
    for name in (
        'x";filename="quoted.html',
        "x%0d%0aContent-Type:text%2fhtml.html",
        "'><img src=x onerror=top.ran=1>.html",
        "javascript:alert(1).html",
        "x.html;.png",
        "x.png\u202elmth",
    ):
        add(name, "text/html", html("name"))
    return found


def _xhtml(name: str) -> str:
    return (
        '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title></head><body>'
        f"<script>{script(name)}</script></body></html>"
    ).replace("&&", "&amp;&amp;")


def _svg(name: str) -> str:
    code = script(name).replace("&&", "&amp;&amp;")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" onload="{code}" width="9" height="9"><script>{code}</script>'
        "<foreignObject><iframe xmlns='http://www.w3.org/1999/xhtml' srcdoc='&lt;script&gt;"
        f"{code.replace(chr(39), '&quot;')}&lt;/script&gt;'/></foreignObject></svg>"
    )


def _styled(name: str, sheet: str) -> str:
    return f'<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="{sheet}"?><a>{name}</a>'


def _sheet(name: str) -> str:
    code = script(name).replace("&&", "&amp;&amp;")
    return (
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="/">'
        f"<html><body><script>{code}</script></body></html></xsl:template></xsl:stylesheet>"
    )


def _multipart(name: str) -> str:
    head = "MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n\r\n"
    return f"{head}--b\r\nContent-Type: text/html\r\n\r\n{html(name)}\r\n--b--\r\n"


def _utf7(name: str) -> bytes:
    return html(name).replace("<", "+ADw-").replace(">", "+AD4-").replace('"', "+ACI-").encode()


class Victim:
    """A person whose browser opens addresses in every way that a page or a link can. ran: the names of the scripts
    that ran, in any origin."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self.context = context
        self.page = page
        self.ran: set[str] = set()
        self.dialogs: list[str] = []
        context.on("request", lambda request: self._note(request.url))
        context.on("dialog", lambda dialog: self.dialogs.append(dialog.message))

    def _note(self, url: str) -> None:
        _, mark, name = url.partition(MARK)
        if mark:
            self.ran.add(name)

    async def visit(self, addresses: Sequence[str]) -> None:
        """Open each as a link does."""
        opened = await self.context.new_page()
        for address in addresses:
            # What is saved and not shown raises here.
            with contextlib.suppress(Error):
                await opened.goto(address, wait_until="load")
        await opened.close()

    async def embed(self, addresses: Sequence[str]) -> None:
        """Put each into the page in every way in which a page can refer to it, and open it from the page."""
        await self.page.evaluate(EMBED, list(addresses))

    async def settle(self) -> None:
        """What was begun has come this far."""
        await asyncio.sleep(0)
        await self.page.evaluate("fetch('/bff/user?anonymous=1').then((answer) => answer.text())")

    async def stored(self) -> list[str]:
        """Marks that scripts left in cookies or in the storage of the site, or on its page."""
        found = [f"cookie {one['value']}" for one in await self.context.cookies() if one["name"] == "ran"]
        storage = await self.page.evaluate("localStorage.ran ?? ''")
        title = await self.page.title()
        found += [f"storage {storage}"] if storage else []
        return found + ([title] if title.startswith("ran") else [])


EMBED = """
async (addresses) => {
  const make = (tag, attributes) => Object.assign(document.createElement(tag), attributes);
  // What never says that it has loaded, such as a frame whose answer is saved, has this time.
  const loaded = (element) =>
    new Promise((resolve) => {
      element.onload = element.onerror = resolve;
      document.body.append(element);
      setTimeout(resolve, 5000);
    });
  const started = (Kind, address) =>
    new Promise((resolve) => {
      const worker = new Kind(address);
      worker.onerror = resolve;
      setTimeout(resolve, 5000);
    }).catch(() => {});
  const all = addresses.flatMap((address) => [
    loaded(make('iframe', { src: address })),
    loaded(make('script', { src: address })),
    loaded(make('script', { src: address, type: 'module' })),
    loaded(make('link', { href: address, rel: 'stylesheet' })),
    loaded(make('object', { data: address })),
    loaded(make('embed', { src: address })),
    loaded(make('img', { src: address })),
    started(Worker, address),
    started(SharedWorker, address),
    navigator.serviceWorker.register(address).catch(() => {}),
  ]);
  await Promise.all(all);
}
"""


def address_of(name: str) -> str:
    return quote(name, safe="")
