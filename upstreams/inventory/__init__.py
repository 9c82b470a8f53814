"""Inventory: how many of each thing there are, and who has reserved them."""
