"""Take a picture of the page of ``depth_anything web`` in a headless Chromium.

    python doc/screenshot.py page.png --picture my.jpg --tab "Point cloud"

Needs playwright (in the extra ``test``) and a Chromium of the system; downloads neither.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

TABS = ("Compare", "Depth", "Point cloud")
HEIGHT = 800  # of a window; pictures are of the whole page
ANSWER_S = 120  # of the slowest model on the slowest machine
# WebGL without a graphics card; a container's root has no sandbox.
_FLAGS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
_ADDRESS = re.compile(r"the page is at (http://\S+)")


def chromium() -> str | None:
    """Return the path of a Chromium of this system; None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def served(*words: str) -> Iterator[str]:
    """Run ``depth_anything web`` on a free port in a process of its own, and yield its address.

    Args:
        words: further arguments of it.
    """
    command = [sys.executable, "-m", "depth_anything_ros", "web", "--port", "0", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        try:
            for line in process.stdout:
                said += line
                if found := _ADDRESS.search(line):
                    yield found[1]
                    return
            raise RuntimeError(f"the page did not start: {said}")
        finally:
            process.terminate()


@contextmanager
def browser() -> Iterator[Browser]:
    """Yield a headless Chromium."""
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium(), args=_FLAGS)
        try:
            yield running
        finally:
            running.close()


def show(page: Page, address: str, picture: Path, tab: str = TABS[0]) -> None:
    """Open the page, upload a picture, and wait until a tab shows what is said of it."""
    page.goto(address)
    page.set_input_files("#picture input[type=file]", picture)
    expect(page.locator("#summary strong")).to_be_visible(timeout=1000 * ANSWER_S)
    page.get_by_role("tab", name=tab).click()
    if tab == "Point cloud":
        expect(page.locator("#cloud canvas")).to_be_visible(timeout=1000 * ANSWER_S)
    page.wait_for_timeout(3000)  # of what is drawn, nothing tells


def screenshot(
    output: Path, picture: Path, tab: str = TABS[0], model: str = "tiny", width: int = 1280
) -> None:
    """Write a PNG of the whole page that shows a picture.

    Args:
        output: PNG to write.
        picture: to upload.
        tab: one of ``TABS``.
        model: that answers.
        width: of the browser's window; 390 is a phone's.
    """
    with served("--model", model) as address, browser() as running:
        page = running.new_page(viewport={"width": width, "height": HEIGHT})
        show(page, address, picture, tab)
        page.screenshot(path=output, full_page=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Take one picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("output", type=Path)
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--tab", choices=TABS, default=TABS[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--width", type=int, default=1280, help="of the window [px]")
    options = parser.parse_args(arguments)
    screenshot(options.output, options.picture, options.tab, options.model, options.width)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
