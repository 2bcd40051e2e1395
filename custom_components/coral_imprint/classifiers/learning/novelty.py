"""What tells pictures of something that was never taught: a bank of foreign pictures, embedded through the classifier's lens."""

from homeassistant.core import HomeAssistant

from ...core.imprinting import Bank, Plausibility, TrainingSet, fit_plausibility
from ...extractors.clutter_bank import async_make_bank
from ...extractors.lens import Lens


class Novelty:
    """The bank of one classifier's lens, once it was made."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Begin without one."""
        self._hass = hass
        self._bank: tuple[str, Bank] | None = None
        """The fingerprint that the bank belongs to, and the bank."""

    def bank(self, lens: Lens) -> Bank | None:
        """Return a lens's bank; None where it isn't at hand."""
        return self._bank[1] if self._bank and self._bank[0] == lens.fingerprint else None

    async def async_prepare(self, lens: Lens) -> None:
        """Have a lens's bank at hand. Raises EmbeddingError, StoreFailed."""
        self._bank = (lens.fingerprint, await async_make_bank(self._hass, lens))

    def fit(self, lens: Lens, rows: TrainingSet) -> Plausibility | None:
        """Learn from examples what is plausible; None where the lens's bank isn't at hand. Blocking."""
        bank = self.bank(lens)
        return fit_plausibility(rows.vectors, bank, rows.occasions) if bank else None
