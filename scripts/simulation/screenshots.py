"""Takes the documentation's pictures: a new user's way through the real frontend, in headless Chromium.

Ends with 1 when the frontend logged an error, or when a request failed, on the way.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from io import BytesIO
from pathlib import Path
import re
import shutil
import sys
from typing import Any

from PIL import Image

# The environment of the style and type checks goes without it.
from playwright import async_api as chromium_api

from .camera import Camera, running_camera
from .client import PASSWORD, USER, Client, onboarded
from .demo import Setting, add_camera, say, teach_gate
from .driveway import GATE_REGION, Scene
from .home import ROOT, Home, HomeError, running_home

CAMERA, CLASSIFIER = "Driveway camera", "Gate"
CLASSES = ("open", "closed")

WIDTH, HEIGHT = 1280, 900
TALL = 1900
"""Height of the window in which even the longest form needs no scrolling."""
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


# --- a new user's way ---------------------------------------------------------------------------------------------


async def add_engine(browser: Browser) -> None:
    """Go to Settings → Devices & services → Add integration → Coral Imprint."""
    page = browser.page
    await browser.open("/config/integrations/dashboard")
    await page.get_by_role("button", name="Add integration").click()
    dialog = page.locator("dialog-add-integration")
    await dialog.locator("input").first.fill("Coral Imprint")
    found = page.locator("ha-integration-list-item", has_text="Coral Imprint").first
    await browser.shoot("add-integration", dialog.locator("input").first, found)
    await found.click()
    flow = page.locator("dialog-data-entry-flow")
    await flow.locator("ha-form").first.wait_for()
    await browser.shoot("add-engine", flow.locator("dialog").first)
    await flow.get_by_role("button", name="Submit").click()
    await finish(browser)


async def finish(browser: Browser) -> None:
    """Leave a flow's last page, which asks for areas."""
    flow = browser.page.locator("dialog-data-entry-flow")
    await flow.get_by_role("button", name=re.compile("finish|skip", re.IGNORECASE)).last.click()
    await flow.locator("ha-form, step-flow-create-entry").first.wait_for(state="detached")
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


async def add_classifier(browser: Browser) -> None:
    """Ask one question about the camera, by the form behind the engine's button."""
    page = browser.page
    await browser.open("/config/integrations/integration/coral_imprint")
    await browser.shoot("engine")
    await page.get_by_role("button", name="Add classifier").first.click()
    flow = page.locator("dialog-data-entry-flow")
    await flow.locator("input[name=name]").fill(CLASSIFIER)
    await pick(browser, flow.locator("ha-entity-picker"), CAMERA)
    for number, label in enumerate(CLASSES):
        await flow.get_by_role("button", name="Add Classes").click()
        await flow.locator("ha-input-multi input").nth(number).fill(label)
    await browser.shoot("add-classifier", flow.locator("dialog").first)
    await page.set_viewport_size({"width": WIDTH, "height": TALL})
    region, decision = (flow.locator("ha-form-expandable", has_text=name) for name in ("Region", "Decision"))
    await region.locator("#summary").click()
    for number, edge in enumerate(GATE_REGION):
        await region.locator("input").nth(number).fill(f"{100 * edge:g}")
    await browser.shoot("add-classifier-region", region)
    await region.locator("#summary").click()
    await decision.locator("#summary").click()
    await browser.shoot("add-classifier-decision", decision)
    await page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    await flow.get_by_role("button", name="Submit").click()
    await finish(browser)
    await browser.shoot("classifier")


async def gate_device(client: Client) -> str:
    """Return the classifier's device id."""
    devices: list[dict[str, Any]] = await client.command("config/device_registry/list")
    return next(str(device["id"]) for device in devices if device["name"] == CLASSIFIER)


async def capture(browser: Browser, label: str) -> None:
    """Teach what the camera shows as a user would, by the action's own page."""
    page = browser.page
    await browser.open("/config/tools/action?service=coral_imprint.capture_example")
    form = page.locator("ha-service-control")
    await pick(browser, form.locator("ha-device-picker"), CLASSIFIER)
    await form.locator("ha-selector-text input").first.fill(label)
    await browser.shoot("capture")
    await page.get_by_role("button", name="Perform action").click()
    await page.locator("ha-yaml-editor, ha-code-editor", has_text="examples").first.wait_for()


async def tour(browser: Browser, home: Home, client: Client, camera: Camera) -> None:
    """Take every picture."""
    entity_id = await add_camera(client, camera.url)
    registered = await client.command("config/entity_registry/get", entity_id=entity_id)
    await client.command("config/device_registry/update", device_id=registered["device_id"], name_by_user=CAMERA)
    await add_engine(browser)
    await add_classifier(browser)
    made = Setting(home, client, camera, await gate_device(client), entities={})
    await teach_gate(made, 3)
    camera.show(Scene(gate="closed", light=0.6, rain=0.5))
    await capture(browser, "closed")
    camera.show(Scene(gate="open", car=True))
    for _ in range(2):  # so many looks must agree
        await made.look()
    await browser.open(f"/config/devices/device/{made.device_id}")
    cards = browser.page.locator("ha-config-device-page ha-card")
    await browser.shoot("device", *[cards.nth(number) for number in range(await cards.count())])
    await browser.page.get_by_text("Last look").first.click()
    await browser.shoot("last-look", browser.page.locator("ha-more-info-dialog dialog"))


async def take(options: argparse.Namespace) -> int:
    """Set up, take the pictures, tell what went wrong on the way."""
    options.folder.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        camera = await stack.enter_async_context(running_camera(seed=0))
        say("starting Home Assistant (the first start installs what it needs and takes a minute)")
        home = await stack.enter_async_context(running_home(options.config.resolve()))
        client = await stack.enter_async_context(onboarded(home.url))
        browser = await stack.enter_async_context(browsing(home, options.folder))
        await tour(browser, home, client, camera)
    for problem in browser.problems:
        say(f"problem: {problem}")
    return 1 if browser.problems else 0


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "images", help="where the pictures go")
    parser.add_argument("--config", type=Path, default=ROOT / ".dev" / "screenshots", help="folder, made anew")
    try:
        return asyncio.run(take(parser.parse_args(arguments)))
    except (HomeError, chromium_api.Error) as error:
        say(f"the pictures could not be taken: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
