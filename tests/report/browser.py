"""A real browser without a window, and what it has to say about a page.

The browser is Debian's (`make browser`); playwright drives it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-headless-shell", "google-chrome", "chromium-browser")
MISSING = f"there is no browser, none of {', '.join(NAMES)}: make browser"
PHONE, DESK = 390, 1280


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser; where there is none the test is skipped, and fails in CI."""
    path = next((found for name in NAMES if (found := which(name))), None)
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, path: Path, width: int = DESK, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """A page, and a list of what it complained about and of what it asked for beside itself."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    page, events = context.new_page(), []
    page.on("console", lambda message: events.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: events.append(f"error: {error}"))
    page.on("request", lambda request: events.append(request.url) if request.url != path.as_uri() else None)
    page.goto(path.as_uri())
    try:
        yield page, events
    finally:
        context.close()


WIDER = """() => [document.documentElement, ...document.querySelectorAll("body *")]
    .filter(each => each.getBoundingClientRect().right > innerWidth + 0.5 || each.scrollWidth > each.clientWidth + 1
        && each.clientWidth && getComputedStyle(each).display !== "inline" && !(each instanceof SVGElement))
    .map(each => `${each.tagName} ${each.className} ${each.textContent.slice(0, 40)}`)"""
"""Elements that reach beyond the window, or whose content reaches beyond them."""

FIGURES = """() => [...document.querySelectorAll("figure svg")].flatMap(svg => {
    const name = svg.getAttribute("aria-label"), outer = svg.getBoundingClientRect(), found = [];
    const inside = (box, frame, room) => box.left >= frame.left - room && box.right <= frame.right + room
        && box.top >= frame.top - room && box.bottom <= frame.bottom + room;
    const clip = each => {
        const named = each.closest("[clip-path]")?.getAttribute("clip-path").match(/#(.*?)["')]/)[1];
        if (!named) return null;
        const rect = document.getElementById(named).querySelector("rect"), matrix = svg.getScreenCTM();
        const corner = (x, y) => new DOMPoint(x, y).matrixTransform(matrix);
        const [x, y, width, height] = ["x", "y", "width", "height"].map(side => rect[side].baseVal.value);
        const from = corner(x, y), to = corner(x + width, y + height);
        return {left: from.x, top: from.y, right: to.x, bottom: to.y};
    };
    const texts = [...svg.querySelectorAll("text")].filter(each => each.textContent.trim());
    for (const each of svg.querySelectorAll("use, text, path, rect, polygon")) {
        if (each.closest("defs, clipPath")) continue;
        const box = each.getBoundingClientRect(), what = `${name}: ${each.tagName} ${each.textContent.trim()}`;
        if (!inside(box, outer, 0.5)) found.push(`${what} outside`);
        const frame = clip(each);
        const drawn = box.width || box.height;
        if (drawn && frame && !inside(box, frame, 1)) found.push(`${what} clipped at ${box.x}, ${box.y}`);
    }
    for (const [number, each] of texts.entries()) {
        const one = each.getBoundingClientRect();
        for (const other of texts.slice(number + 1)) {
            const two = other.getBoundingClientRect();
            if (Math.min(one.right, two.right) - Math.max(one.left, two.left) > 1
                && Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top) > 2)
                found.push(`${name}: ${each.textContent.trim()} over ${other.textContent.trim()}`);
        }
    }
    if (!texts.length) found.push(`${name}: no text`);
    return found;
})"""
"""Marks outside a figure, marks and lines that are cut, and text over text."""

FAINT = """() => {
    const context = Object.assign(document.createElement("canvas"), {width: 1, height: 1})
        .getContext("2d", {willReadFrequently: true});
    const painted = colors => {
        context.clearRect(0, 0, 1, 1);
        for (const color of colors) { context.fillStyle = color; context.fillRect(0, 0, 1, 1); }
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = rgb => rgb.map(x => x / 255).map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
        .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
    const found = [], seen = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
        if (!text || element.closest("script, style, defs") || !element.checkVisibility()) continue;
        const behind = [];
        for (let each = element; each; each = each.parentElement)
            behind.unshift(getComputedStyle(each).backgroundColor);
        const style = getComputedStyle(element), own = element instanceof SVGElement ? style.fill : style.color;
        const [high, low] = [light(painted(behind)), light(painted([...behind, own]))].sort((a, b) => b - a);
        const contrast = (high + 0.05) / (low + 0.05);
        seen.push(contrast);
        if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${own} ${text.slice(0, 40)}`);
    }
    if (!seen.length) found.push("no text");
    return found;
}"""
"""Texts whose contrast with what is behind them is below 4.5 (WCAG 2.2, 1.4.3)."""
