"""The answers of the three services and the body of the command as pydantic models, for every contender that uses
models."""

from __future__ import annotations

from pydantic import BaseModel


class Dimensions(BaseModel):
    height_mm: int
    width_mm: int
    depth_mm: int


class Supplier(BaseModel):
    name: str
    city: str
    since: str


class ProductInfo(BaseModel):
    sku: str
    name: str
    description: str
    category: str
    price_cents: int
    currency: str
    weight_g: float
    tags: list[str]
    dimensions: Dimensions
    available: bool
    supplier: Supplier
    rating: float


class Level(BaseModel):
    place: str
    available: int
    reserved: int
    next_delivery: str


class Levels(BaseModel):
    sku: str
    version: int
    places: list[Level]


class Option(BaseModel):
    carrier: str
    service: str
    days_min: int
    days_max: int
    price_cents: int
    currency: str
    tracked: bool
    countries: list[str]
    co2_g: float


class Options(BaseModel):
    sku: str
    options: list[Option]


class Amount(BaseModel):
    amount: int


class Reservation(BaseModel):
    sku: str
    reserved: int
