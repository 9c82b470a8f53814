"""Attachments of tickets, passed on as they are: uploads, downloads, ranges, and events of their service.

They are forwards, so nothing here knows what a file is. A forward is under the same guard as every route, and what
somebody has uploaded cannot act as this site; see docs/contract.md.
"""

from bff import Download, Problem, Router

from . import upstreams

router = Router(prefix="/api/tickets")

LARGEST = 250_000_000
"""Bytes of an upload."""
STORING = 20.0
"""Seconds that the service may take to store a file, from its last byte until the answer."""

# A browser sends a form or the file itself, fetches all of it or a range, and resumes after a cut.
router.forward(
    "/{id}/files/{name}",
    upstreams.files,
    "/v1/tickets/{id}/files/{name}",
    methods=("GET", "PUT", "DELETE"),
    upload=LARGEST,
    deadline=STORING,
)
router.forward(
    "/{id}/files",
    upstreams.files,
    "/v1/tickets/{id}/files",
    methods=("GET", "POST"),
    upload=LARGEST,
    deadline=STORING,
)
# The service's own event stream, for pages that show new attachments at once.
router.forward("/{id}/events", upstreams.files, "/v1/tickets/{id}/events")


@router.view("/{id}/newest-file")
async def newest_file(id: str) -> Download:
    """The file that was attached last, whatever its name is."""
    stored = await upstreams.files.of_ticket(id)
    if not stored:
        raise Problem(404, "no-files", "The ticket has no attachments.")
    return Download(upstreams.files.content(id, stored[0].name), stored[0].name)
