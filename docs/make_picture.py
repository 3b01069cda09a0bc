"""Write docs/report.png, the README's picture: `python docs/make_picture.py report.html`; needs Chromium."""

import shutil
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

PICTURE = Path(__file__).parent / "report.png"
HEIGHT, GAP = 860, 28


def shot(browser: Browser, page: Path, width: int, scheme: str) -> Image.Image:
    """The top of the page at this width, in light or dark."""
    opened = browser.new_page(viewport={"width": width, "height": HEIGHT}, color_scheme=scheme)
    opened.goto(page.absolute().as_uri())
    return Image.open(BytesIO(opened.screenshot())).convert("RGB")


def main(page: Path) -> None:
    """A wide light page beside a phone's dark one."""
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        wide, phone = shot(browser, page, 1180, "light"), shot(browser, page, 375, "dark")
        browser.close()
    both = Image.new("RGB", (wide.width + GAP + phone.width, HEIGHT), (128, 134, 145))
    both.paste(wide, (0, 0))
    both.paste(phone, (wide.width + GAP, 0))
    both.quantize(240).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
