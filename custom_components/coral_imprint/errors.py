"""The one place where errors of the cores become errors that Home Assistant can show in the user's language."""

from collections.abc import Iterator
from contextlib import contextmanager

from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.update_coordinator import UpdateFailed

from .const import DOMAIN
from .core.embedding import EmbeddingError
from .core.imprinting import (
    ClassExists,
    ImprintingError,
    InvalidLabel,
    NothingToRedo,
    NothingToUndo,
    UndoImpossible,
    UnknownClass,
    UnknownExample,
    UnreadablePicture,
    UnusableArchive,
)

# What the person who called an action can mend: no stack trace in the log for these.
_USER_ERRORS = (
    ClassExists,
    InvalidLabel,
    NothingToRedo,
    NothingToUndo,
    UndoImpossible,
    UnknownClass,
    UnknownExample,
    UnreadablePicture,
    UnusableArchive,
)


def translated[ErrorT: HomeAssistantError](
    error: type[ErrorT], key: str, cause: BaseException | None = None, **placeholders: str
) -> ErrorT:
    """Return an error of Home Assistant's with the message ``key`` of our translations."""
    made = error(translation_domain=DOMAIN, translation_key=key, translation_placeholders=placeholders)
    made.__cause__ = cause
    return made


def as_home_assistant_error(err: EmbeddingError | ImprintingError) -> HomeAssistantError:
    """Return a core's error as Home Assistant's, translated by its own key."""
    kind = ServiceValidationError if isinstance(err, _USER_ERRORS) else HomeAssistantError
    return translated(kind, err.key, err, **err.details)


def as_update_failed(err: HomeAssistantError) -> UpdateFailed:
    """Return an error as a coordinator's, with the same message."""
    failed = UpdateFailed(
        translation_domain=err.translation_domain,
        translation_key=err.translation_key,
        translation_placeholders=err.translation_placeholders,
    )
    failed.__cause__ = err
    return failed


@contextmanager
def core_errors_translated() -> Iterator[None]:
    """Let errors of the cores out as translated errors of Home Assistant's."""
    try:
        yield
    except (EmbeddingError, ImprintingError) as err:
        raise as_home_assistant_error(err) from err
