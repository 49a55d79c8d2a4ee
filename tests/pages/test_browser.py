"""The report in a real browser."""

from __future__ import annotations

import shutil
import statistics

import numpy as np
import pytest
import torch

from twoviews.pages.facts import facts
from twoviews.pages.look import Looked, sheets
from twoviews.pages.page import render, report

from .conftest import CLASSES


@pytest.fixture(scope="module")
def page_of(trained):
    return report(trained / "run", trained / "page.html", map="pca", workers=0).as_uri()


def place_of(page, number):
    """Where a picture of the map is on the screen."""
    page.locator("#cloud").scroll_into_view_if_needed()
    box = page.locator("#cloud").bounding_box()
    x, y = page.evaluate(
        "n => twoviewsMap.chart.convertToPixel({seriesIndex: 0}, JSON.parse(document.getElementById('data').textContent).map.place[n])",
        number,
    )
    return box["x"] + x, box["y"] + y


def test_hover_and_click_show_the_picture(opened, page_of):
    page = opened(page_of)
    x, y = place_of(page, 5)
    page.mouse.move(x, y)
    page.wait_for_selector("#cloud .tile")
    shown = page.locator("#cloud .tile").first
    assert shown.evaluate("e => getComputedStyle(e).backgroundImage").startswith('url("blob:')
    assert shown.bounding_box()["width"] == 120
    page.mouse.click(x, y)
    page.wait_for_selector("#detail .near button")
    name = page.locator("#detail p").first.text_content()
    assert name.endswith(".png")
    page.locator("#detail .near button").first.click()
    assert page.locator("#detail p").first.text_content() != name


def test_hovered_picture_has_its_own_colours(opened, page_of, tmp_path):
    """The tile that is shown is that of the picture which is named: classes are red, green and blue."""
    from PIL import Image

    page = opened(page_of)
    for number in (3, 40, 80):
        name = page.evaluate("n => JSON.parse(document.getElementById('data').textContent).map.names[n]", number)
        x, y = place_of(page, number)
        page.mouse.click(x, y)
        tile = page.locator("#detail > .tile")
        shown = page.locator("#detail p").first.text_content()
        tile.screenshot(path=tmp_path / "tile.png")
        mean = np.asarray(Image.open(tmp_path / "tile.png").convert("RGB")).reshape(-1, 3).mean(0)
        assert mean.argmax() == CLASSES.index(shown.split("/")[0]), (name, shown, mean)


def test_zoom_drag_and_keys(opened, page_of):
    page = opened(page_of)
    view = lambda: page.evaluate("twoviewsMap.view()")  # noqa: E731
    assert view() == [[0, 100], [0, 100]]
    box = page.locator("#cloud").bounding_box()
    page.locator("#cloud").scroll_into_view_if_needed()
    box = page.locator("#cloud").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -400)
    page.wait_for_function("twoviewsMap.view()[0][1] - twoviewsMap.view()[0][0] < 99")
    before = view()
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 60, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    page.wait_for_function("before => Math.abs(twoviewsMap.view()[0][0] - before) > 0.5", arg=before[0][0])
    page.locator("#cloud").focus()
    page.keyboard.press("0")
    page.wait_for_function("JSON.stringify(twoviewsMap.view()) == '[[0,100],[0,100]]'")
    page.keyboard.press("+")
    page.keyboard.press("+")
    near = view()
    assert near[0][1] - near[0][0] == pytest.approx(49, abs=1)
    page.keyboard.press("ArrowRight")
    assert view()[0][0] > near[0][0]
    page.keyboard.press("n")
    first = page.evaluate("twoviewsMap.selected()")
    page.keyboard.press("n")
    assert page.evaluate("twoviewsMap.selected()") == first + 1
    page.keyboard.press("p")
    assert page.evaluate("twoviewsMap.selected()") == first
    assert page.locator("#cloud").get_attribute("aria-label").endswith(page.locator("#detail p").first.text_content())


def test_filters_and_colours(opened, page_of):
    page = opened(page_of)
    shown = page.locator("#shown")
    assert shown.text_content() == "90 of 90 shown"
    labels = page.locator("#groups label")
    assert sorted(labels.all_text_contents()) == sorted(CLASSES)  # as text, not as markup
    page.get_by_role("checkbox", name=CLASSES[1]).uncheck()
    assert shown.text_content() == "60 of 90 shown"
    page.get_by_label("Name contains").fill("café")
    assert shown.text_content() == "30 of 90 shown"
    page.get_by_label("Name contains").fill("")
    page.get_by_role("button", name="all / none").click()
    assert shown.text_content() == "0 of 90 shown"
    page.get_by_label("Colour by").select_option("loss")
    assert shown.text_content() == "90 of 90 shown"
    assert page.locator("#groups .scale").count() == 1
    page.get_by_label("Colour by").select_option("cluster")
    assert page.locator("#groups input").count() == 3


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (390, "light"), (1280, "dark"), (1280, "light")])
def test_phone_dark_and_names(opened, page_of, width, scheme):
    """No sideways scrolling on a phone; contrast, names and roles as axe wants them; the button turns light to dark."""
    from axe_playwright_python.sync_playwright import Axe

    page = opened(page_of, width=width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found] == []
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement !== document.body")


def test_runs_side_by_side(opened, trained):
    other = trained / "second"
    shutil.copytree(trained / "run", other)
    page = opened(report([trained / "run", other], trained / "two.html").as_uri())
    assert page.locator(".verdict h3").all_text_contents() == ["run", "second"]
    assert page.locator("#charts canvas").count() >= 6
    shutil.rmtree(other)


def test_ten_thousand_points_stay_smooth(opened, trained, tmp_path):
    """Frames while zooming and hovering; the page is below 15 MB. Measured: docs/results.md."""
    text = render([facts(trained / "run")], many(10_000), "")
    assert len(text) < 15e6
    (tmp_path / "many.html").write_text(text, encoding="utf-8")
    page = opened((tmp_path / "many.html").as_uri())
    assert page.locator("#shown").text_content() == "10,000 of 10,000 shown"
    frames = frame_times(page)
    assert statistics.median(frames) < 100
    x, y = place_of(page, 1234)
    page.mouse.move(x, y)
    page.wait_for_selector("#cloud .tile")


def many(count, classes=10):
    """What a look at `count` noisy pictures would give."""
    generator = np.random.default_rng(0)
    label = generator.integers(0, classes, count)
    angle = 2 * np.pi * label / classes
    place = np.stack([np.cos(angle), np.sin(angle)], 1) * 0.7 + generator.normal(0, 0.1, (count, 2))
    coarse = torch.from_numpy(generator.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)).float()
    tiles = torch.nn.functional.interpolate(coarse, (48, 48), mode="bicubic").clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return Looked(
        "made", [f"folder/picture-{n:05}.jpg" for n in range(count)], label.tolist(), [f"class {c}" for c in range(classes)],
        place.clip(-1, 1).round(4).tolist(), "made", label.tolist(), generator.uniform(0, 5, count).round(3).tolist(),
        generator.integers(0, count, (count, 8)).tolist(), sheets(tiles), [], [], [], [], None, 0,
    )  # fmt: skip


def frame_times(page):
    """Milliseconds from frame to frame while the wheel turns and the mouse moves over the map."""
    page.locator("#cloud").scroll_into_view_if_needed()
    box = page.locator("#cloud").bounding_box()
    page.evaluate(
        """() => { window.frames_ = []; let last = performance.now(); window.going = true;
        const next = now => { window.frames_.push(now - last); last = now; if (window.going) requestAnimationFrame(next); }; requestAnimationFrame(next); }"""
    )
    for n in range(40):
        page.mouse.move(box["x"] + box["width"] * (0.3 + n / 100), box["y"] + box["height"] * 0.5)
        page.mouse.wheel(0, -60 if n < 20 else 60)
    page.evaluate("window.going = false")
    return page.evaluate("window.frames_").copy()[1:]
