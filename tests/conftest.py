"""What holds for every test, with Home Assistant and without."""

from hypothesis import HealthCheck, settings

UNHURRIED = "unhurried"
"""The profile of hypothesis: no example is timed, for a busy machine says nothing about the code."""

settings.register_profile(UNHURRIED, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(UNHURRIED)
