"""The example docs/examples/tracker over real sockets: its HTTP, its page in Chromium, and its attachments."""
