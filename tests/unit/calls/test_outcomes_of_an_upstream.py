"""An upstream's class or instance may set its outcome table; a wrong table is refused."""

from __future__ import annotations

import pytest

from bff import OUTCOMES, Call, Outcome, OutcomeTable, Upstream

TEAPOT = Outcome("refused", "yes", "yes", "stored")


class Plain(Upstream, team="Plain", contact="#plain"):
    def thing(self) -> Call[str]:
        return self.get("/thing", str)


class Legacy(Plain, team="Legacy", contact="#legacy", outcomes=OUTCOMES.changed({418: TEAPOT})):
    pass


class Newer(Legacy, team="Newer", contact="#newer"):
    pass


def test_a_class_a_subclass_or_an_instance_may_have_its_table_and_others_have_the_default() -> None:
    own = Plain()
    own.outcomes = OUTCOMES.changed({418: Outcome("failed", repeat="unknown")})
    assert Plain().thing().outcomes is OUTCOMES
    assert Legacy().thing().outcomes.of(418) is Newer().thing().outcomes.of(418) is TEAPOT
    assert Legacy().thing().outcomes.of(404) is OUTCOMES.of(404)
    assert own.thing().outcomes.of(418).kind == "failed"
    assert Legacy().thing().passes(403, only=True).outcomes.of(418).screen == "no"


@pytest.mark.parametrize("status", [200, 299, 401, 407, 429, 500, 600])
def test_a_table_passes_on_only_4xx_statuses_that_are_not_about_the_gateway(status: int) -> None:
    with pytest.raises(ValueError, match=str(status)):
        OUTCOMES.changed({status: TEAPOT})
    with pytest.raises(ValueError, match=str(status)):
        OutcomeTable(((status, TEAPOT),))
