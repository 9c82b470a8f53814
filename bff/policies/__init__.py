"""Decisions, pure: given facts and a clock they say what is allowed. They wait for nothing and reach nobody."""
