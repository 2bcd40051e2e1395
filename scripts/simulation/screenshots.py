"""Takes the documentation's pictures: a new user's way through the real frontend, in headless Chromium.

Ends with 1 when the frontend logged an error, or when a request failed, on the way.
"""

import argparse
import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
import sys
from typing import Any

# The environment of the style and type checks goes without it.
from playwright import async_api as chromium_api

from tests.embedding.graphs import restart_random, separable

from .browser import HEIGHT, WIDTH, Browser, browsing, close_changed, finish, pick, select, unfold
from .camera import Camera, running_camera
from .client import Client, onboarded
from .demo import Setting, add_camera, say, teach_gate
from .driveway import GATE_REGION, Scene
from .home import ROOT, Home, HomeError, running_home

CAMERA, CLASSIFIER = "Driveway camera", "Gate"
CLASSES = ("open", "closed")
NETWORK = "my_network"
"""What the user's own extractor is called."""
TALL = 2600
"""Height of the window in which even the longest form needs no scrolling."""

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
    await flow.get_by_text("On this machine").click()
    await flow.locator("ha-form").first.wait_for()
    dialog = flow.locator("dialog").first
    await browser.shoot("add-engine", dialog)
    extractor = flow.locator("ha-selector-select").first
    await unfold(browser, extractor)
    await browser.shoot("choose-extractor", dialog)
    # The others are downloaded; nothing here reaches the internet.
    await select(browser, extractor, "Built-in")
    await flow.get_by_role("button", name="Submit").click()
    await finish(browser)


async def add_classifier(browser: Browser) -> None:
    """Ask one question about the camera, by the form behind the engine's button."""
    page = browser.page
    await browser.open("/config/integrations/integration/coral_imprint")
    await browser.shoot("engine")
    await page.get_by_role("button", name="Add classifier").first.click()
    flow = page.locator("dialog-data-entry-flow")
    await flow.locator("input[name=name]").fill(CLASSIFIER)
    await pick(browser, flow.locator("ha-entity-picker").first, CAMERA)
    for number, label in enumerate(CLASSES):
        await flow.get_by_role("button", name="Add Classes").click()
        await flow.locator("ha-input-multi input").nth(number).fill(label)
    await browser.shoot("add-classifier", flow.locator("dialog").first)
    await page.set_viewport_size({"width": WIDTH, "height": TALL})
    region, when, decision, health = (
        flow.locator("ha-form-expandable", has=page.get_by_role("heading", name=name, exact=True))
        for name in ("Region", "When to look", "Decision", "Camera health")
    )
    await region.locator("#summary").click()
    for number, edge in enumerate(GATE_REGION):
        await region.locator("input").nth(number).fill(f"{100 * edge:g}")
    await browser.shoot("add-classifier-region", region)
    await region.locator("#summary").click()
    for name, section in (("when", when), ("decision", decision), ("health", health)):
        await section.locator("#summary").click()
        await browser.shoot(f"add-classifier-{name}", section)
        await section.locator("#summary").click()
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


def drop_in(home: Home) -> None:
    """Put a network into the folder of models, as a user does who has one."""
    models = home.config / "coral_imprint" / "models"
    models.mkdir(parents=True)
    restart_random()
    (models / f"{NETWORK}.tflite").write_bytes(separable("uint8", 32, 32))


async def compare(browser: Browser) -> None:
    """Change the engine by comparing the extractors at hand, and take the network."""
    page = browser.page
    await browser.open("/config/integrations/integration/coral_imprint")
    await page.locator("ha-config-entry-row").get_by_role("button", name="Menu").first.click()
    await page.get_by_role("menuitem", name="Reconfigure").first.click()
    flow = page.locator("dialog-data-entry-flow")
    await flow.get_by_text("Compare the extractors").click()
    await flow.locator("ha-form").first.wait_for()
    await browser.shoot("recommend", flow.locator("dialog").first)
    dropdowns = flow.locator("ha-selector-select")
    await select(browser, dropdowns.first, NETWORK)
    await select(browser, dropdowns.last, "Portable")
    await flow.get_by_role("button", name="Submit").click()
    await close_changed(browser)


async def engine_device(browser: Browser, client: Client) -> None:
    """Look at the engine's device."""
    devices: list[dict[str, Any]] = await client.command("config/device_registry/list")
    device = next(device for device in devices if device["name"].startswith(NETWORK))
    await browser.open(f"/config/devices/device/{device['id']}")
    await browser.page.locator("ha-device-entities-card", has_text="Portable").first.wait_for()
    cards = browser.page.locator("ha-config-device-page ha-card")
    await browser.shoot("engine-device", *[cards.nth(number) for number in range(await cards.count())])


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
    await teach_gate(made, 3)
    drop_in(home)
    await compare(browser)
    await engine_device(browser, client)


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
