"""Who is asking: tokens and their keys, browser sign-in and sessions, and proof that a write is the own page's."""
