"""Write the explorer's page, and a picture of it, where README.md shows them.

python tests/browser/picture_explorer.py
"""

import io

from conftest import CHROMIUM_ARGUMENTS
from PIL import Image
from playwright.sync_api import sync_playwright

from swin_tutorial.data.paths import data_folder
from swin_tutorial.doctor import find_browser
from swin_tutorial.explorer import MaskExplorer

PAGE = data_folder() / "explorer" / "mask_explorer.html"
WIDTH = 1320  # pixels


def readme_explorer() -> MaskExplorer:
    """Return the explorer in the state that the README shows."""
    return MaskExplorer(height=8, width=12, window_size=4, shift_size=2, image="chelsea")


def main() -> None:
    """Write both files."""
    readme_explorer().export_html(PAGE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(), args=CHROMIUM_ARGUMENTS
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": 500})
        page.goto(PAGE.as_uri())
        explorer = page.locator(".mask-explorer[data-query]")
        page.wait_for_timeout(300)  # for the photograph to be decoded
        picture = Image.open(io.BytesIO(explorer.screenshot()))
        browser.close()
    # 256 colors make it a third of the size.
    picture = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(PAGE.with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
