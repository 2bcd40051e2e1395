"""When looks begin to be uncertain: once, not look after look."""

from .decision import Finding, Verdict


class Uncertainty:
    """Follows one classifier's looks. Uncertainty ends with as many looks in a row that name a class as a decision takes."""

    def __init__(self) -> None:
        """Begin certain."""
        self._told: set[Finding] = set()
        self._named = 0

    def begins(self, verdict: Verdict, looks: int) -> Finding | None:
        """Return what kind of uncertainty begins with a look, None for none.

        ``looks``: how many in a row it takes to be certain again. Until then each kind begins once.
        """
        finding = verdict.finding
        if finding is Finding.NAMED:
            self._named += 1
            if self._named >= looks:
                self._told.clear()
            return None
        self._named = 0
        if finding in self._told:
            return None
        self._told.add(finding)
        return finding
