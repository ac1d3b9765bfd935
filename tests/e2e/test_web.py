"""`khantui web`, in a real browser: what one types there reaches the daemon, and other pages are kept out."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
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
    argv = [sys.executable, "-m", "khantui", "web", "--data", str(khantui.data), "--port", str(port), "--sessions", "2"]
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


@pytest.mark.attack
def test_a_browser_is_told_what_the_page_may_not_do(page: str) -> None:
    whole, script = httpx.get(page), httpx.get(f"{page}/page/page.js")
    for answer in (whole, script, httpx.get(f"{page}/nothing"), httpx.get(page, headers={"Host": "evil.example"})):
        policy = dict(rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == f"'self' {page}"
        assert policy["connect-src"].split() == ["'self'", page, page.replace("http:", "ws:")]
        for name, value in (
            ("x-frame-options", "DENY"), ("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"), ("cross-origin-resource-policy", "same-origin"),
        ):  # fmt: skip
            assert answer.headers[name] == value
    assert (whole.headers["cache-control"], script.headers["cache-control"]) == ("no-store", "max-age=3600")
    assert "<script>" not in whole.text
    assert " on" not in whole.text.partition("<body>")[2].replace(" open", "")
    assert "content-security-policy" in httpx.get(f"{page}/download/x").headers


@pytest.mark.attack
def test_a_session_is_a_connections_own_and_there_are_so_many(page: str) -> None:
    async def ask() -> None:
        async with aiohttp.ClientSession(headers={"Origin": page, "Cookie": "session=fixed"}) as client:
            first, second = await client.ws_connect(f"{page}/ws"), await client.ws_connect(f"{page}/ws?session=fixed")
            assert await first.receive_bytes() is not None
            assert await second.receive_bytes() is not None
            assert not client.cookie_jar
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(f"{page}/ws")
            assert refused.value.status == 503
            await first.close()
            async with asyncio.timeout(30):
                while True:  # its program ends, and then there is room
                    try:
                        await (await client.ws_connect(f"{page}/ws")).close()
                    except aiohttp.WSServerHandshakeError:
                        await asyncio.sleep(0.05)
                    else:
                        break
            await second.close()

    asyncio.run(ask())


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
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
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
        complaints = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
        assert not complaints  # the page does nothing that its policy forbids
        picture = browser.get_screenshot_as_png()
        assert len(picture) > 10_000
        Path(tmp_path / "browser.png").write_bytes(picture)
    finally:
        browser.quit()
