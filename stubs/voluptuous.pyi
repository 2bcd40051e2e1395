# Home Assistant replaces voluptuous by probatio under its old name at start-up: that is what is checked against.
from probatio import *
