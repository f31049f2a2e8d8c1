"""The page in a real browser: it fits, nothing complains, tables sort, one lowering can be picked out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.browser import browser, browser_path

import convir
from convir import nn
from convir.comparison.report import Roofline

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser_path() is None, reason="there is no Chromium"),
]

NAMES = ("naive", "im2col", "toeplitz", "direct", "depthwise", "shift_gemm", "winograd_2x2", "winograd_4x4", "auto")
OVERFLOW = "document.scrollingElement.scrollWidth - innerWidth"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    model = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)), nn.MaxPool2d(2), nn.Conv2d(4, 2, 1))
    made = convir.compare(model, (1, 4, 8, 8), lowerings=NAMES, repeats=2, backward=True)
    rows = [replace(row, bytes_moved=4096, intensity=0.1 * (1 + i % 7)) for i, row in enumerate(made.rows)]
    long = f"a_module_with_a_long_name.{'x' * 60}"
    filled = replace(made, rows=tuple(rows), roofline=Roofline(80.0, 10.0, 50.0), inputs=((long, "f32[1,4,8,8]"),))
    return filled.to_html(tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture(scope="module")
def sweep_page(tmp_path_factory):
    layer = convir.conv_layer(4, 4, 3, 12)
    swept = convir.sweep(layer, "kernel", list(range(1, 12, 2)), repeats=2, time_budget=0.5)
    return swept.to_html(tmp_path_factory.mktemp("sweep") / "sweep.html")


@pytest.fixture(scope="module")
def tab():
    with browser() as opened:
        yield opened


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", ["page", "sweep_page"])
def test_it_fits_and_nothing_complains(tab, name, width, dark, request):
    tab.show(request.getfixturevalue(name), width, dark=dark)
    assert tab.evaluate("innerWidth") == width
    assert tab.evaluate(OVERFLOW) <= 0
    assert tab.complaints == []
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 23, 27)" if dark else "rgb(251, 251, 250)")


def test_figures_of_the_whole_net_and_its_graphs_need_no_more_than_a_screen(tab, page):
    tab.show(page, 1280)
    boxes = "[...document.querySelectorAll('{}')].filter(box => box.clientWidth)"
    (width,) = tab.evaluate(f"{boxes.format('#whole .scroll.table')}.map(box => box.scrollWidth - box.clientWidth)")
    assert width <= 0
    strips = tab.evaluate(f"{boxes.format('.strip')}.map(strip => [strip.scrollHeight, strip.clientHeight])")
    assert strips
    assert all(content <= height < 600 for content, height in strips)


def test_a_click_on_a_heading_sorts_and_another_turns_round(tab, page):
    tab.show(page, 1280)
    click = "document.querySelectorAll('#whole thead button')[1].click()"
    values = "[...document.querySelectorAll('#whole tbody tr')].map(row => Number(row.cells[1].dataset.v))"
    order = "document.querySelectorAll('#whole thead th')[1].getAttribute('aria-sort')"
    tab.evaluate(click)
    ascending = tab.evaluate(values)
    assert ascending == sorted(ascending)
    assert len(ascending) == len(NAMES)
    assert tab.evaluate(order) == "ascending"
    tab.evaluate(click)
    assert tab.evaluate(values) == ascending[::-1]
    assert tab.evaluate(order) == "descending"
    tab.evaluate("document.querySelectorAll('#whole thead button')[0].click()")
    assert tab.evaluate("document.querySelectorAll('#whole [aria-sort]').length") == 1
    names = tab.evaluate("[...document.querySelectorAll('#whole tbody th')].map(cell => cell.textContent.trim())")
    assert names == sorted(names)


def test_the_legend_picks_a_lowering_out_and_lets_it_go(tab, page):
    tab.show(page, 1280)
    button, marks = "document.querySelectorAll('.legend button')[1]", "document.querySelectorAll('.picked.mark').length"
    tab.evaluate(f"{button}.click()")
    assert tab.evaluate(marks) > 0
    assert tab.evaluate(f"{button}.getAttribute('aria-pressed')") == "true"
    tab.evaluate(f"{button}.click()")
    assert tab.evaluate(marks) == 0


def test_marks_speak_when_focused_and_arrow_keys_go_on(tab, page):
    tab.show(page, 400)
    tip = "document.querySelector('.tip').textContent"
    tab.evaluate("document.querySelector('.marks [tabindex=\"0\"]').focus()")
    first = tab.evaluate(tip)
    assert first.startswith("whole net, naive:")
    event = "new KeyboardEvent('keydown', {key: 'ArrowDown', bubbles: true})"
    tab.evaluate(f"document.activeElement.dispatchEvent({event})")
    assert tab.evaluate(tip).startswith("whole net, im2col:")
    assert tab.evaluate(OVERFLOW) <= 0


def test_the_points_of_a_sweep_sort_and_one_strategy_is_picked_out_of_both(tab, sweep_page):
    tab.show(sweep_page, 1280)
    tab.evaluate("document.querySelectorAll('#points thead button')[2].click()")
    times = tab.evaluate(
        "[...document.querySelectorAll('#points tbody tr')].map(row => Number(row.cells[2].dataset.v))"
    )
    assert times == sorted(times)
    assert len(times) > 30
    marks = "document.querySelectorAll('{} .picked').length"
    tab.evaluate("document.querySelectorAll('.legend button')[1].click()")
    for section in ("#sweep", "#times", "#points", "#whole"):
        assert tab.evaluate(marks.format(section)) > 0


def test_one_layer_at_a_time_and_rows_on_demand(tab, page):
    tab.show(page, 1280)
    shown = "[...document.querySelectorAll('#graphs .layer')].filter(each => !each.hidden).length"
    assert tab.evaluate(shown) == 1
    choose = "(select => {{ select.value = '{}'; select.dispatchEvent(new Event('change')) }})"
    rows = "[...document.querySelectorAll('.details tbody tr')].filter(row => !row.hidden).length"
    few = tab.evaluate(rows)
    tab.evaluate(f"{choose.format(1)}(document.querySelector('#every select'))")
    everything = tab.evaluate(rows)
    tab.evaluate(f"{choose.format(2)}(document.querySelector('#every select'))")
    assert tab.evaluate(rows) == len(NAMES) < few < everything
