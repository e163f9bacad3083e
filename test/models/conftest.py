"""The parity table of doc/models.md, made by the tests that compare with other implementations.

    python -m pytest test/models -k parity --parity-table doc/models.md

writes what they measured between the marks in that file.
"""

from pathlib import Path

import pytest
from huggingface_hub import constants
from three_views import make_rig

BEGIN, END = "<!-- parity -->", "<!-- end of parity -->"
HEADING = (
    "| family | model | compared with | pictures, height×width | largest difference |",
    "|---|---|---|---|---|",
)
ROWS = pytest.StashKey[list[tuple[str, str, str, str, float]]]()


def pytest_addoption(parser):
    parser.addoption("--parity-table", type=Path, help="Markdown file to write the table into")


def pytest_configure(config):
    config.stash[ROWS] = []


@pytest.fixture
def parity(request):
    """Take down a comparison: family, model, reference, sizes, and differences of the range."""

    def note(family, model, reference, sizes, differences):
        text = ", ".join(
            size if isinstance(size, str) else f"{size[0]}×{size[1]}" for size in sizes
        )
        worst = max(differences)
        print(f"\n{family} {model} against {reference}: {text}: {worst:.1e}")
        request.config.stash[ROWS].append((family, model, reference, text, worst))

    return note


def pytest_sessionfinish(session, exitstatus):
    path = session.config.getoption("--parity-table", None)
    if path is None:
        return
    if exitstatus or not session.config.stash[ROWS]:
        raise pytest.UsageError("no table: not every comparison passed")
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    rows = [
        f"| {family} | {model} | {reference} | {sizes} | {worst:.1e} |"
        for family, model, reference, sizes, worst in sorted(session.config.stash[ROWS])
    ]
    table = "\n".join((*HEADING, *rows))
    path.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, and no way to the hub itself."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "hub"


@pytest.fixture(scope="session")
def rig():
    """A room that three cameras see, with 90° each and 40° between them."""
    return make_rig()
