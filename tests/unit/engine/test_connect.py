"""Engines by name: which one is taken, and whose error is told when none answers."""

from collections.abc import Callable

import pytest

from matrix.engine.connect import ENGINES, connect_engine
from matrix.engine.docker_engine import connect_docker
from matrix.engine.protocol import Engine
from matrix.errors import EngineError
from tests.fakes.engine import FakeEngine


def refusing(sentence: str) -> Callable[[], Engine]:
    def connect() -> Engine:
        raise EngineError(sentence)

    return connect


def test_docker_is_the_engine_that_is_tried_first() -> None:
    assert next(iter(ENGINES.items())) == ("docker", connect_docker)


def test_the_first_engine_that_answers_is_taken() -> None:
    first, second = FakeEngine(), FakeEngine()
    assert connect_engine({"one": lambda: first, "other": lambda: second}) is first
    assert connect_engine({"dead": refusing("it is off"), "other": lambda: second}) is second


def test_where_no_engine_answers_the_first_ones_error_is_told() -> None:
    with pytest.raises(EngineError, match="it is off"):
        connect_engine({"dead": refusing("it is off"), "gone": refusing("it is not there")})
