"""Render docs/images/icon.svg into the brand folder of the integration."""

from pathlib import Path
import shutil

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
SVG = ROOT / "docs/images/icon.svg"
BRAND = ROOT / "custom_components/smart_rings/brand"
SIZES = {"icon.png": 256, "icon@2x.png": 512}


def main() -> None:
    """Draw each size on a transparent page of exactly that size."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for name, size in SIZES.items():
            page = browser.new_page(viewport={"width": size, "height": size})
            page.set_content(
                f"<style>body{{margin:0}}svg{{display:block}}</style>{SVG.read_text()}"
            )
            page.screenshot(path=BRAND / name, omit_background=True)
        browser.close()


if __name__ == "__main__":
    main()
