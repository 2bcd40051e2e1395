"""Which extractor suits an engine: each at hand is tried on the user's own examples.

Time-grouped cross-validation (``imprinting.cross_validate``) of every classifier, and milliseconds per look on this machine.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
import logging
from typing import Any, Final

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
import numpy as np
from numpy.typing import NDArray

from ..classifiers.coordinator import ClassifierCoordinator
from ..const import RUNTIME_EDGETPU, RUNTIME_REMOTE
from ..core.embedding import DEFAULT, EmbeddingError, ModelError, PictureEmbedder, open_embedder
from ..core.imprinting import Advice, Candidate, Example, ImprintingError, Validation, advise, by_class, cross_validate
from ..errors import as_home_assistant_error, translated
from ..extractors.choices import async_choices, async_source, title
from ..extractors.lens import Lens
from ..settings import cache_folder
from .engine import Engine

_LOGGER = logging.getLogger(__name__)

TIMED_LOOKS: Final = 9
"""Pictures that are embedded to see how long a look takes."""

type _Embedded = list[tuple[Example, NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """How the extractors at hand compare."""

    candidates: tuple[Candidate, ...]
    """Cheapest first."""
    advice: Advice
    unusable: dict[str, str]
    """Why, by extractor."""
    titles: dict[str, str]
    """What each is called."""
    present: str | None = None
    """The engine's own, where a server or an Edge TPU executes it: the others are on this machine."""

    @property
    def extractor(self) -> str:
        """The extractor to use."""
        return self.advice.recommended

    def as_response(self) -> dict[str, Any]:
        """Return it as an action answers."""
        return {
            "recommended": self.extractor,
            "best": self.advice.best,
            "cheapest_as_good": self.advice.cheapest,
            "occasions": self.advice.occasions,
            "enough": self.advice.enough,
            "extractors": [
                {
                    "extractor": one.key,
                    "title": self.titles[one.key],
                    "accuracy": round(100 * one.validation.accuracy, 1),
                    "milliseconds": round(one.cost, 2),
                    "tested_examples": len(one.validation.trials),
                    "p_value": round(self.advice.worse[one.key], 4),
                }
                for one in self.candidates
            ],
            "unusable": self.unusable,
        }

    def as_markdown(self) -> str:
        """Return it as a list to read, in no language: names and figures."""
        return "\n".join(
            f"- {f'**{self.titles[one.key]}** ✔' if one.key == self.extractor else self.titles[one.key]}"
            f": {100 * one.validation.accuracy:.0f}% · {one.cost:.1f} ms"
            for one in self.candidates
        )


async def async_recommend(
    hass: HomeAssistant,
    engine: Engine,
    classifiers: Sequence[ClassifierCoordinator],
    on_progress: Callable[[float], None] | None = None,
) -> Recommendation:
    """Compare the extractors at hand on the classifiers' examples. ``on_progress`` hears 0 to 1.

    What an engine has on a server or an Edge TPU is compared with those that this machine executes. Embeddings are kept, so that a second comparison, and the change to another extractor, are quick. Looks and teaching go on
    meanwhile. Raises HomeAssistantError.
    """
    titles = {choice.key: title(choice.key) for choice in await async_choices(hass) if choice.at_hand}
    if present := _elsewhere(engine):
        titles[present] = engine.title
    done = 0
    total = max(1, len(titles) * sum(sum(classifier.counts.values()) for classifier in classifiers))

    def one_more() -> None:
        nonlocal done
        done += 1
        if on_progress:
            on_progress(min(1.0, done / total))

    candidates: list[Candidate] = []
    unusable: dict[str, str] = {}
    for key, name in titles.items():
        try:
            async with _borrowed(hass, engine, key) as embedder:
                candidate = await _async_try(hass, key, embedder, classifiers, one_more)
        except EmbeddingError as err:
            _LOGGER.warning("%s can't be compared: %s", name, err)
            unusable[key] = str(err)
            continue
        except ImprintingError as err:
            raise as_home_assistant_error(err) from err
        if candidate is None:
            raise translated(ServiceValidationError, "too_few_examples")
        candidates.append(candidate)
    candidates.sort(key=lambda candidate: candidate.cost)
    # Too little to go by is no reason to leave a server or a device.
    usual = present if any(one.key == present for one in candidates) else DEFAULT
    advice = await hass.async_add_executor_job(advise, candidates, usual)
    return Recommendation(tuple(candidates), advice, unusable, titles, present)


def _elsewhere(engine: Engine) -> str | None:
    """Return what tells an engine's own extractor from one of the same name on this machine; None where they are the same."""
    runtime = engine.embedder.runtime
    return f"{engine.extractor}@{runtime}" if runtime in {RUNTIME_REMOTE, RUNTIME_EDGETPU} else None


@asynccontextmanager
async def _borrowed(hass: HomeAssistant, engine: Engine, key: str) -> AsyncIterator[PictureEmbedder]:
    """Open an extractor as the engine would; the one in use is not opened twice. Raises EmbeddingError."""
    if key == (_elsewhere(engine) or engine.extractor):
        yield engine.embedder
        return
    if (source := await async_source(hass, key)) is None:
        raise ModelError(f"{title(key)} is gone")
    settings = engine.settings
    async with open_embedder(source, settings.local_runtime, settings.threads, proofs=cache_folder(hass)) as embedder:
        yield embedder


async def _async_try(
    hass: HomeAssistant,
    key: str,
    embedder: PictureEmbedder,
    classifiers: Sequence[ClassifierCoordinator],
    one_more: Callable[[], None],
) -> Candidate | None:
    """Validate one extractor on all classifiers; None where none of them has enough examples."""
    embedded: list[_Embedded] = []
    for classifier in classifiers:
        lens = Lens(key, embedder, classifier.settings.region)
        embedded.append(await classifier.learner.async_embeddings(lens, one_more))
        # Where all embeddings were at hand, nothing says yet how long one takes.
        await classifier.learner.examples.async_embed_newest(lens, TIMED_LOOKS)
    validations = await hass.async_add_executor_job(lambda: [_validate(one) for one in embedded])
    together = _together([one for one in validations if one])
    return Candidate(key, embedder.ms or 0.0, together) if together else None


def _validate(embedded: _Embedded) -> Validation | None:
    """Cross-validate one classifier, all its classes on one timeline. Blocking."""
    rows = by_class(embedded)
    return cross_validate(rows.vectors, rows.occasions) if len(rows.vectors) > 1 else None


def _together(validations: Sequence[Validation]) -> Validation | None:
    """Put the trials of several classifiers together; their classes and occasions have nothing to do with each other."""
    if not validations:
        return None
    trials = tuple(
        replace(trial, occasion=f"{number}/{trial.occasion}")
        for number, validation in enumerate(validations)
        for trial in validation.trials
    )
    return Validation(
        trials,
        sum(validation.untested for validation in validations),
        frozenset().union(*(validation.split for validation in validations)),
    )
