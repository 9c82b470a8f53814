"""Shipping: what a parcel costs, and the parcels on their way."""
