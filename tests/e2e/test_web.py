"""`khantui web`, in a real browser: what one types there reaches the daemon, and other pages are kept out."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.program import Program, environment

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def page(khantui: Program) -> Iterator[str]:
    """The address of a page that is served."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "khantui", "web", "--data", str(khantui.data), "--port", str(port)]
    process = subprocess.Popen(argv, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline().split()
        assert said[0] == "ready"
        yield said[1]
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_other_pages_are_kept_out(page: str) -> None:
    assert httpx.get(page).status_code == 200
    assert httpx.get(page, headers={"Host": "evil.example"}).status_code == 403
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    evil = httpx.get(f"{page}/ws", headers={**upgrade, **key, "Origin": "https://evil.example"})
    assert evil.status_code == 403
    assert httpx.get(f"{page}/ws", headers={**upgrade, **key}).status_code == 403


def test_nothing_is_fetched_from_elsewhere(page: str) -> None:
    text = httpx.get(page).text
    assert text.count("http://") == text.count(page)
    assert "https://" not in text


def test_it_is_not_served_to_the_world(khantui: Program) -> None:
    result = khantui("web", "--host", "0.0.0.0")
    assert (result.code, "act as you" in result.err) == (2, True)


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromedriver"), reason="there is no chromedriver: install chromium-driver")
def test_a_pipeline_is_started_from_a_browser(page: str, khantui: Program, tmp_path: Path) -> None:
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    document = {"name": "webby", "stages": {"only": {"image": "shell", "script": "echo from a browser"}}}
    khantui.apply(tmp_path, document)
    options = webdriver.ChromeOptions()
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "disable-component-update"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        browser.get(page)
        wait = WebDriverWait(browser, 30)
        wait.until(lambda b: "-first-byte" in (b.find_element(By.TAG_NAME, "body").get_attribute("class") or ""))
        keyboard = browser.switch_to.active_element
        keyboard.send_keys(":trigger webby", Keys.ENTER)
        deadline = time.monotonic() + 30
        found: list[dict[str, object]] = []
        while not found and time.monotonic() < deadline:
            browser.switch_to.active_element.send_keys(Keys.ENTER)  # the question is there, or comes
            time.sleep(0.5)
            found = json.loads(khantui("runs", "pipeline=webby", "-o", "json").out)
        assert found
        picture = browser.get_screenshot_as_png()
        assert len(picture) > 10_000
        Path(tmp_path / "browser.png").write_bytes(picture)
    finally:
        browser.quit()
