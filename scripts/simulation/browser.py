"""The real frontend in headless Chromium: what a person sees, clicks and chooses there, and pictures of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
import re
import shutil

from PIL import Image

# The environment of the style and type checks goes without it.
from playwright import async_api as chromium_api

from .client import PASSWORD, USER
from .demo import say
from .home import Home

WIDTH, HEIGHT = 1280, 900
MARGIN = 16
"""Pixels left around what a picture is cropped to."""
MAX_BYTES = 150_000
COLOURS = 256

PICKER_TRIES = 6
PICKER_WAIT = 4_000
"""Milliseconds that a picker's list gets to show what is looked for."""

CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
)
# Home Assistant fetches these icons from the internet, which it does not reach here.
EXPECTED_FAILURES = ("/api/brands/",)


class Browser:
    """One page of the frontend, what went wrong in it, and where its pictures go."""

    def __init__(self, page: chromium_api.Page, home: Home, folder: Path) -> None:
        """Take a new page and the Home Assistant it is to show; the folder is there."""
        self.page = page
        self.url = home.url
        self.config = str(home.config)
        self.folder = folder
        self.problems: list[str] = []

    async def prepare(self) -> None:
        """Let the page reach Home Assistant only, and note what goes wrong in it."""
        self.page.on("console", lambda message: self._log(message.type, message.text))
        self.page.on("pageerror", lambda error: self._log("error", str(error)))
        self.page.on("response", self._answered)
        await self.page.route("**/*", self._route)
        # The frontend rejects promises with plain objects, which the console shows as nothing but "Object".
        await self.page.add_init_script(
            "addEventListener('unhandledrejection',"
            " (event) => console.error('unhandled', JSON.stringify(event.reason), event.reason?.stack ?? ''))"
        )

    def _log(self, kind: str, text: str) -> None:
        if kind == "error" and "Failed to load resource" not in text:  # those are noted by their answers
            self.problems.append(f"console: {text[:500]}")

    def _answered(self, response: chromium_api.Response) -> None:
        if response.status >= 400 and not any(part in response.url for part in EXPECTED_FAILURES):
            self.problems.append(f"{response.status} {response.request.method} {response.url}")

    async def _route(self, route: chromium_api.Route, request: chromium_api.Request) -> None:
        if "/config_entries/flow" in request.url:
            # A form names a folder of this machine: show it as it is called on Home Assistant OS.
            answer = await route.fetch()
            await route.fulfill(response=answer, body=(await answer.text()).replace(self.config, "/config"))
        elif request.url.startswith((self.url, "data:", "blob:")):
            await route.continue_()
        else:
            self.problems.append(f"asked for {request.url}")
            await route.abort()

    async def login(self) -> None:
        """Log in as the demo's user."""
        await self.page.goto(self.url)
        await self.page.locator("input[name=username]").fill(USER)
        await self.page.locator("input[name=password]").fill(PASSWORD)
        await self.page.get_by_role("button", name="Log in").click()
        await self._shown()

    async def open(self, path: str) -> None:
        """Open a page of the app and wait until it is drawn."""
        await self.page.goto(self.url + path, wait_until="domcontentloaded")
        await self._shown()

    async def _shown(self) -> None:
        await self.page.locator("home-assistant-main").wait_for(state="attached")
        await self.page.locator("#ha-launch-screen").wait_for(state="detached")
        await self.settle()

    async def settle(self, seconds: float = 1.5) -> None:
        """Wait until what moves has come to rest."""
        await self.page.wait_for_timeout(1000 * seconds)

    async def shoot(self, name: str, *around: chromium_api.Locator) -> None:
        """Save a picture of the window, or of the part that shows all of the given elements."""
        await self.page.mouse.move(1, 1)  # a hovered field looks different
        await self.settle()
        clip = None
        if around:
            boxes = [box for element in around if (box := await element.bounding_box())]
            left = min(box["x"] for box in boxes) - MARGIN
            top = min(box["y"] for box in boxes) - MARGIN
            right = max(box["x"] + box["width"] for box in boxes) + MARGIN
            bottom = max(box["y"] + box["height"] for box in boxes) + MARGIN
            clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
        path = self.folder / f"{name}.png"
        path.write_bytes(_small_png(await self.page.screenshot(clip=clip, animations="disabled")))
        say(f"{path.name}: {path.stat().st_size // 1000} kB")


def _small_png(png: bytes) -> bytes:
    """Return a picture as a PNG of at most MAX_BYTES: in a palette, and smaller where it takes that."""
    with Image.open(BytesIO(png)) as opened:
        picture = opened.convert("RGB")
    while True:
        out = BytesIO()
        picture.quantize(COLOURS, kmeans=1, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
        if out.tell() <= MAX_BYTES:
            return out.getvalue()
        picture = picture.resize((picture.width * 7 // 8, picture.height * 7 // 8), Image.Resampling.LANCZOS)


@asynccontextmanager
async def browsing(home: Home, folder: Path) -> AsyncIterator[Browser]:
    """Open Chromium, logged in."""
    async with chromium_api.async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(CHROMIUM_OPTIONS)
        )
        page = await chromium.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, locale="en-GB", timezone_id="UTC", service_workers="block"
        )
        page.set_default_timeout(30_000)
        browser = Browser(page, home, folder)
        try:
            await browser.prepare()
            await browser.login()
            yield browser
        except chromium_api.Error:
            failed = home.config / "failed.png"
            await page.screenshot(path=failed)
            say(f"what the page showed then: {failed}\n{await page.locator('body').aria_snapshot()}")
            raise
        finally:
            await chromium.close()


async def finish(browser: Browser) -> None:
    """Leave a flow's last page, which asks for areas."""
    flow = browser.page.locator("dialog-data-entry-flow")
    await flow.get_by_role("button", name=re.compile("finish|skip", re.IGNORECASE)).last.click()
    await flow.locator("ha-form, step-flow-create-entry").first.wait_for(state="detached")
    await browser.settle()


async def close_changed(browser: Browser) -> None:
    """Leave a flow's last page after it has changed something."""
    flow = browser.page.locator("dialog-data-entry-flow")
    await flow.locator("step-flow-abort").get_by_text("Reconfiguration was successful").wait_for()
    await flow.get_by_role("button", name="Close").last.click()
    await flow.locator("step-flow-abort").wait_for(state="detached")
    await browser.settle()


async def pick(browser: Browser, picker: chromium_api.Locator, text: str) -> None:
    """Choose the entity or device that shows this text in a picker.

    A picker answers a click only once all of its code was fetched, and closes when the form is drawn anew meanwhile: where
    its list doesn't show, or shows nothing, it is asked again.
    """
    item = browser.page.locator("ha-combo-box-item", has_text=text).first
    for _ in range(PICKER_TRIES - 1):
        if not await browser.page.locator("ha-picker-combo-box").count():
            await picker.click()
        try:
            await item.click(timeout=PICKER_WAIT)
            break
        except chromium_api.TimeoutError:
            await browser.settle()
    else:
        await item.click()
    await browser.page.locator("ha-picker-combo-box").first.wait_for(state="detached")


async def select(browser: Browser, dropdown: chromium_api.Locator, text: str) -> None:
    """Choose what shows this text in a form's dropdown; opened again where the form was drawn anew meanwhile."""
    item = dropdown.locator("ha-dropdown-item", has_text=text).first
    chosen = dropdown.get_by_role("button", name=text)
    for _ in range(PICKER_TRIES):
        if not await item.is_visible():
            await dropdown.get_by_role("button").first.click()
        try:
            await item.click(timeout=PICKER_WAIT)
            await chosen.wait_for(timeout=PICKER_WAIT)
        except chromium_api.TimeoutError:
            await browser.settle()
        else:
            return
    await chosen.wait_for()


async def unfold(browser: Browser, dropdown: chromium_api.Locator) -> None:
    """Open a form's dropdown, so that all that can be chosen is seen."""
    items = dropdown.locator("ha-dropdown-item")
    for _ in range(PICKER_TRIES - 1):
        await dropdown.get_by_role("button").first.click()
        try:
            await items.last.wait_for(timeout=PICKER_WAIT)
            await browser.settle()
        except chromium_api.TimeoutError:
            continue
        if await items.last.is_visible():
            return
    await items.last.wait_for()
