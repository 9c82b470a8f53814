"""The kinds of pages that `bff new` writes, and what differs with them in the files that all projects have.

It imports nothing, so that `bff --help` can name the kinds.
"""

from __future__ import annotations

_DEV = (
    "`bff dev` starts the gateway on http://localhost:8000 with an embedded Valkey, a sign-in and the two services in "
    "`services/`; Ctrl-C ends everything."
)
# What differs in the files of all projects, for each kind of page.
WORDS = {
    "plain": {
        "{{start}}": _DEV,
        "{{look}}": "Open http://localhost:8000, sign in and close a ticket; /docs lists all routes.",
        "{{page_files}}": ", and `page/` has the page, without a build",
        "{{copy_page}}": "COPY page /app/page",
    },
    "vite": {
        "{{start}}": "`npm install --prefix page` installs what the page needs, once. " + _DEV,
        "{{look}}": "Open http://localhost:5173, where Vite serves the page and passes the rest on; sign in and close "
        "a ticket. `npm run check --prefix page` writes the page's types from the gateway's description and checks it.",
        "{{page_files}}": ", and `page/` has the page; in production the gateway serves what Vite built",
        "{{copy_page}}": "COPY --from=page /page/dist /app/page/dist",
        "{{node_image}}": "ARG NODE_IMAGE=node:22-bookworm-slim\n\n"
        "FROM ${NODE_IMAGE} AS page\n"
        "ARG NPM_CONFIG_REGISTRY\n"
        "WORKDIR /page\n"
        "COPY page/package*.json ./\n"
        "RUN if [ -f package-lock.json ]; then npm ci; else npm install; fi\n"
        "COPY page ./\n"
        "RUN npm run build\n",
        "{{page_service}}": 'page = "npm run dev --prefix page"\n',
        "{{public_url}}": "\n# Browsers reach the gateway through Vite, which serves the page while you develop.\n"
        'public_url = "http://localhost:5173"\n',
        "{{check_page}}": "      - uses: actions/setup-node@v5\n"
        "        with: {node-version: 22}\n"
        "      - run: npm install --prefix page && npm run check --prefix page && npm run build --prefix page\n",
    },
    "none": {
        "{{start}}": _DEV,
        "{{look}}": "Open http://localhost:8000/docs.",
    },
}
PAGES = tuple(WORDS)
"""The kinds of pages: `plain` is modules without a build, `vite` a project for Vite, `none` no page."""
