"""Payments: charges and refunds, at most one of each for an order."""
