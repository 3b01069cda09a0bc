"""The report in a real browser: no request, nothing wider than the page, everything reachable."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; .ci/run installs it")
WIDER = """[...document.querySelectorAll('main *')]
    .filter(element => element.getBoundingClientRect().right > innerWidth + 1)
    .filter(element => !element.closest('.scroll, pre, thead, bdi'))
    .map(element => element.outerHTML.slice(0, 80))"""
HIDDEN_TEXT = """[...document.querySelectorAll('p, h2, h3, h4, summary')]
    .filter(element => element.checkVisibility() && !element.matches('.sr'))
    .filter(element => element.scrollWidth > element.clientWidth + 1)
    .map(element => element.textContent.slice(0, 60))"""


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory, pages):
    """url(name): the address of a page as a file."""
    root = tmp_path_factory.mktemp("pages")
    for name, text in pages.items():
        (root / f"{name}.html").write_text(text, encoding="utf-8")
    return lambda name: (root / f"{name}.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["2", "10", "120", "photos", "odd"])
def test_a_page_makes_no_request_logs_nothing_and_fits(browser, url, name, scheme):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 375, "height": 800})
    page = context.new_page()
    messages, requests = [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(url(name))
    page.evaluate("document.querySelectorAll('details').forEach(element => element.open = true)")
    for width in (375, 1400):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(WIDER) == []
        assert page.evaluate(HIDDEN_TEXT) == []
    assert (
        page.evaluate("[...document.images].filter(element => !element.naturalWidth).length") == 0
    )
    assert (
        page.evaluate("getComputedStyle(document.body).backgroundColor")
        == {"light": "rgb(255, 255, 255)", "dark": "rgb(16, 19, 24)"}[scheme]
    )
    assert messages == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
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


def test_a_screen_reader_reads_headings_tables_and_figures(browser, url):
    page = browser.new_page()
    page.goto(url("10"))
    snapshot = page.locator("body").aria_snapshot()
    for heading in (
        "Leaderboard",
        "The blend",
        "Recipes compared",
        "Mistakes",
        "The images",
    ):
        assert f'heading "{heading}" [level=3]' in snapshot
    assert 'img "Blend ' in snapshot
    assert 'img "Reliability: ' in snapshot
    assert 'table "Runs and blend by accuracy"' in snapshot
    page.close()


def test_print_shows_what_is_collapsed_on_the_screen(browser, url):
    page = browser.new_page()
    page.goto(url("2"))
    page.emulate_media(media="print")
    assert page.locator("details dl").first.is_visible()
    assert not page.locator("nav").is_visible()
    assert len(page.pdf()) > 10_000
    page.close()
