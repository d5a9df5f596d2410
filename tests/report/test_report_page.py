"""The report as people see it, in headless Chromium: drawn, readable, and usable by keyboard."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gossamer.report.html import write_report

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
pytest.importorskip("vl_convert")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromium-driver are not installed"
)

# Every text on the page with the colour behind it: the ratio of WCAG 2.2, 1.4.3.
CONTRASTS = """
const parse = (color) => color.match(/[\\d.]+/g).map(Number);
const curve = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const channel = (v) => curve(v / 255);
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const ground = (node) => {
  for (; node; node = node.parentElement) {
    const color = parse(getComputedStyle(node).backgroundColor);
    if (color.length === 3 || color[3] > 0) return color;
  }
  return [255, 255, 255];
};
const found = [];
for (const node of document.querySelectorAll("body *")) {
  const own = [...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim());
  if (!own || ["SCRIPT", "STYLE"].includes(node.tagName) || !node.getClientRects().length) continue;
  const style = getComputedStyle(node);
  const ink = parse(node instanceof SVGElement ? style.fill : style.color);
  const [a, b] = [light(ink), light(ground(node))].sort((x, y) => y - x);
  found.push([node.tagName + ": " + node.textContent.trim().slice(0, 40), (a + 0.05) / (b + 0.05)]);
}
return found;
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "no-first-run",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    from selenium.webdriver.chrome.service import Service

    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: Any, proof: dict[str, Any], tmp_path: Path) -> Any:
    """The browser with a report open and drawn."""
    path = tmp_path / "report.html"
    write_report(proof, path)
    browser.get(path.as_uri())
    wait(browser, "return document.querySelectorAll('.plot svg').length === 4")
    return browser


def wait(browser: Any, script: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(script))


def sized(browser: Any, width: int, height: int = 900) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def scheme(browser: Any, name: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": name}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def test_every_chart_is_drawn_without_a_complaint_or_a_request(page: Any) -> None:
    assert page.find_element("tag name", "h1").text.startswith("The sparse model in Gossamer takes")
    for svg in page.find_elements("css selector", ".plot svg"):
        assert svg.size["width"] > 200
        assert svg.size["height"] > 80
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []
    fetched = page.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
    )
    assert [name for name in fetched if name.startswith("http")] == []


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_it_fits_a_phone_a_tablet_and_a_screen(page: Any, width: int) -> None:
    sized(page, width)
    wait(page, f"return innerWidth === {width}")
    page.refresh()
    wait(page, "return document.querySelectorAll('.plot svg').length === 4")
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    for svg in page.find_elements("css selector", ".plot svg"):
        assert svg.rect["x"] + svg.rect["width"] <= width


@pytest.mark.parametrize("name", ["light", "dark"])
def test_every_text_can_be_read_in_light_and_in_dark(page: Any, name: str) -> None:
    scheme(page, name)
    wait(page, f"return matchMedia('(prefers-color-scheme: {name})').matches")
    found = page.execute_script(CONTRASTS)
    assert len(found) > 100
    assert [(text, ratio) for text, ratio in found if ratio < 4.5] == []
    ground = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (int(ground.split("(")[1].split(",")[0]) < 128) == (name == "dark")


def test_hovering_over_a_trial_shows_its_figures(page: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    points = page.find_elements("css selector", "#frontier .mark-symbol.layer_2_marks path")
    assert len(points) == 4
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", points[0])
    ActionChains(page).move_to_element(points[0]).perform()
    wait(page, "return !!document.querySelector('#vg-tooltip-element.visible')")
    shown = page.find_element("id", "vg-tooltip-element").text
    for said in ("energy of the dense model, %", "30.0", "0.9000", "+0.0500", "beyond it"):
        assert said in shown


def test_charts_have_words_for_those_who_cannot_see_them(page: Any) -> None:
    plots = page.find_elements("css selector", "figure [role=img]")
    energy, _, frontier, layers = (plot.get_attribute("aria-label") for plot in plots)
    assert "dense, ONNX Runtime 120 mJ; int8" in energy
    assert "at 30.0 % a score of 0.9000, beyond the bound" in frontier
    assert "A table below says it too." in layers
    assert page.execute_script("return document.documentElement.lang") == "en"
    assert page.execute_script("return document.querySelectorAll('img:not([alt])').length") == 0


def test_everything_is_reached_by_keyboard(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    reached = []
    for _ in range(12):
        page.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(page.switch_to.active_element.tag_name)
    assert reached[0] == "a"
    assert {"summary", "button", "div"} <= set(reached)
    details = page.find_element("tag name", "details")
    details.find_element("tag name", "summary").send_keys(Keys.ENTER)
    assert details.get_attribute("open")


def test_the_button_copies_the_figures(page: Any, proof: dict[str, Any]) -> None:
    for permission in ("clipboardReadWrite", "clipboardSanitizedWrite"):
        page.execute_cdp_cmd("Browser.grantPermissions", {"permissions": [permission]})
    button = page.find_element("id", "copy")
    page.execute_script("arguments[0].scrollIntoView()", button)
    button.click()
    wait(page, "return document.getElementById('copied').textContent !== ''")
    assert page.find_element("id", "copied").text == "Copied."
    page.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite"]})
    text = page.execute_async_script(
        "const done = arguments[0]; navigator.clipboard.readText().then(done, () => done(null));"
    )
    assert text is None or json.loads(text) == proof


def test_it_prints(page: Any) -> None:
    printed = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert len(printed["data"]) > 20_000
