"""Named states: the words that stand in columns, and their numbers in memory (-1: unknown)."""

from typing import Final

SIDES: Final = {"A": "ask; of a trade: the seller was the aggressor", "B": "bid; of a trade: the buyer", "N": "none"}
ASK: Final = ord("A")
BID: Final = ord("B")
BUYER: Final = BID  # aggressor of a trade, as Databento names it: the buyer lifts the ask
SELLER: Final = ASK

KEY_KINDS: Final = ("PM_HIGH", "PM_LOW", "OR_HIGH", "OR_LOW", "SMA_200", "SMA_400")
CONTEXT_KINDS: Final = (
    "PD_HIGH", "PD_LOW", "PD_CLOSE", "ON_HIGH", "ON_LOW", "VWAP", "VWAP_UPPER", "VWAP_LOWER", "ROUND", "CALL_WALL", "PUT_WALL",
)  # fmt: skip
LEVEL_KINDS: Final = (*KEY_KINDS, *CONTEXT_KINDS)
PM_HIGH, PM_LOW, OR_HIGH, OR_LOW, SMA_200, SMA_400 = range(6)
PD_HIGH, PD_LOW, PD_CLOSE, ON_HIGH, ON_LOW, VWAP, VWAP_UPPER, VWAP_LOWER, ROUND, CALL_WALL, PUT_WALL = range(6, 17)

DIRECTIONS: Final = ("UP", "DOWN")
UP, DOWN = range(2)

BARRIER_STATES: Final = ("UNOBSERVED", "PASSED", "VACUUM", "WALL", "CONSUMED", "ABSORPTION", "WEAK", "NEUTRAL")
UNOBSERVED, PASSED, VACUUM, WALL, CONSUMED, ABSORPTION, WEAK, NEUTRAL = range(8)

FUEL_EFFECTS: Final = ("UNKNOWN", "AMPLIFY", "NEUTRAL", "DAMPEN")
FUEL_UNKNOWN, AMPLIFY, FUEL_NEUTRAL, DAMPEN = range(4)

TRIGGERS: Final = ("NEUTRAL", "BREAK", "REJECT", "CONTESTED")
NO_TRIGGER, BREAK_TRIGGER, REJECT_TRIGGER, CONTESTED = range(4)

PHASES: Final = ("following", "critical")
FOLLOWING, CRITICAL = range(2)

CONFIDENCES: Final = ("LOW", "MEDIUM", "HIGH")
LOW, MEDIUM, HIGH = range(3)

OUTCOMES: Final = ("BREAK", "BOUNCE", "CHOP", "CENSORED", "RESOLVED")
BREAK, BOUNCE, CHOP, CENSORED, RESOLVED = range(5)

VETOES: Final = ("NONE", "BOOK", "SPREAD", "OPTIONS", "END")  # stale or crossed; wide; none of today's known; too close to the end
NO_VETO, VETO_BOOK, VETO_SPREAD, VETO_OPTIONS, VETO_END = range(5)
