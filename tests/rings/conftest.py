"""What the tests of the protocol library share."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--vectors", help="folder of <family>.json to run instead of the project's own"
    )
