"""What an open stream and an event on it cost here and elsewhere, measured in one run on one machine."""
