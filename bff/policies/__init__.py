"""Pure decisions: from measurements and a clock they decide what is allowed. They do no I/O and never wait."""
