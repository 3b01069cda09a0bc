"""The report in a real browser: nothing leaves the page, nothing is wider than it, everything can be reached."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; .ci/run installs it")
WIDER = """[...document.querySelectorAll('main *')].filter(own => own.getBoundingClientRect().right > innerWidth + 1
    && !own.closest('.scroll, pre, thead, bdi')).map(own => own.outerHTML.slice(0, 80))"""
HIDDEN_TEXT = """[...document.querySelectorAll('p, h2, h3, h4, summary')].filter(own => own.checkVisibility()
    && !own.matches('.sr') && own.scrollWidth > own.clientWidth + 1).map(own => own.textContent.slice(0, 60))"""


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory, pages):
    """url(name): the address of a page as a file."""
    root = tmp_path_factory.mktemp("pages")
    for name, text in pages.items():
        (root / f"{name}.html").write_text(text, encoding="utf-8")
    return lambda name: (root / f"{name}.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["2", "10", "120", "photos", "odd"])
def test_a_page_asks_for_nothing_says_nothing_and_fits(browser, url, name, scheme):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 375, "height": 800})
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url(name))
    page.evaluate("document.querySelectorAll('details').forEach(own => own.open = true)")
    for width in (375, 1400):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(WIDER) == []
        assert page.evaluate(HIDDEN_TEXT) == []
    assert page.evaluate("[...document.images].filter(own => !own.naturalWidth).length") == 0
    assert (
        page.evaluate("getComputedStyle(document.body).backgroundColor")
        == {"light": "rgb(255, 255, 255)", "dark": "rgb(16, 19, 24)"}[scheme]
    )
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()


def test_the_keyboard_skips_to_the_results_and_opens_a_run(browser, url):
    page = browser.new_page()
    page.goto(url("10"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    page.focus("summary")
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('details').open")
    page.close()


def test_a_reader_of_the_screen_hears_numbers_and_pictures(browser, url):
    page = browser.new_page()
    page.goto(url("10"))
    told = page.locator("body").aria_snapshot()
    for heading in (
        "Leaderboard",
        "The blend",
        "Recipes compared",
        "Mistakes",
        "The images",
    ):
        assert f'heading "{heading}" [level=3]' in told
    assert 'img "Blend ' in told
    assert 'table "Runs and blend by accuracy"' in told
    page.close()


def test_paper_shows_what_is_folded_on_the_screen(browser, url):
    page = browser.new_page()
    page.goto(url("2"))
    page.emulate_media(media="print")
    assert page.locator("details dl").first.is_visible()
    assert not page.locator("nav").is_visible()
    assert len(page.pdf()) > 10_000
    page.close()
