"""The app's start: ``python -m companion``."""

import asyncio
import logging
import os
import signal
import sys

from .keeper import WRONG_OPTIONS, Keeper, Supervisor
from .options import OptionError, Options, read_options
from .server import SUPERVISORS_VARIABLE, Layout
from .token import ensure_token

_LOGGER = logging.getLogger(__name__)


def main(layout: Layout | None = None) -> int:
    """Run until told to stop; returns the exit status."""
    layout = layout or Layout()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        options = read_options(layout.options)
        token = ensure_token(layout.token, options.token)
    except OptionError as error:
        _LOGGER.error("%s", error)
        return WRONG_OPTIONS
    except OSError as error:
        _LOGGER.error("The token can't be kept: %s", error)
        return 1
    logging.getLogger().setLevel(options.log_level.upper())
    return asyncio.run(_run(layout, options, token))


async def _run(layout: Layout, options: Options, token: str) -> int:
    supervisor = None
    if supervisor_token := os.environ.get(SUPERVISORS_VARIABLE):
        supervisor = Supervisor(token=supervisor_token, url=layout.supervisor)
    keeper = Keeper(layout, options, token, supervisor)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, keeper.stopping.set)
    return await keeper.run()


if __name__ == "__main__":
    sys.exit(main())
