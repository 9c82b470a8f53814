"""What browsers get: the client anybody can use, and the shop of the demo."""
