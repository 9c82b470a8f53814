"""A gateway that shows the articles of a Strapi: for `bff serve tests.wire.magazine:magazine`."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from bff import Call, Gateway, Part, Upstream, optional

from ..waiting import GUARD

FRESH = 3600
"""Seconds for which articles are cached: longer than the tests take, so only a report of a change makes them new."""


class Article(BaseModel):
    document_id: str = Field(alias="documentId")
    title: str
    body: str | None = None
    updated_at: datetime = Field(alias="updatedAt")


class ArticleFound(BaseModel):
    data: Article

    @property
    def version(self) -> int:
        """Milliseconds of its last change."""
        return int(self.data.updated_at.timestamp() * 1000)


class ArticlesFound(BaseModel):
    data: list[Article]


class Cms(Upstream, team="Editors", contact="#editors"):
    def articles(self) -> Call[ArticlesFound]:
        call = self.get("/api/articles", ArticlesFound, sort="title:asc")
        return call.fresh(FRESH).public().tagged("article")

    def article(self, id: str) -> Call[ArticleFound]:
        call = self.get("/api/articles/{id}", ArticleFound, id=id)
        return call.fresh(FRESH).public().tagged("article", f"article/{id}")

    def headline(self) -> Call[ArticlesFound]:
        """Not cached for long, and shown from the cache while Strapi is away."""
        call = self.get("/api/articles", ArticlesFound, sort="updatedAt:desc")
        return call.fresh(0.01, stale_if_error=FRESH).public().tagged("headline")

    def rejected(self) -> Call[ArticlesFound]:
        return self.get("/api/articles", ArticlesFound).public()


cms = Cms()


class Front(BaseModel):
    headline: Part[ArticlesFound]


magazine = Gateway("magazine", deadline=GUARD, upstreams=(cms,))
magazine.value("article/{id}", ArticleFound, public=True, load=cms.article)


@magazine.view("/api/articles", public=True)
async def articles() -> ArticlesFound:
    return await cms.articles()


@magazine.view("/api/articles/{id}", public=True)
async def article(id: str) -> ArticleFound:
    return await cms.article(id)


@magazine.view("/api/front", public=True)
async def front() -> Front:
    return Front(headline=await optional(cms.headline()))


@magazine.view("/api/uncached", public=True)
async def uncached() -> ArticlesFound:
    return await cms.rejected()
