"""Named states: the words that stand in columns, and their numbers in memory (-1: unknown)."""

from typing import Final

SIDES: Final = {"A": "ask; of a trade: the seller was the aggressor", "B": "bid; of a trade: the buyer", "N": "none"}
ASK: Final = ord("A")
BID: Final = ord("B")
BUYER: Final = BID  # aggressor of a trade, as Databento names it: the buyer lifts the ask
SELLER: Final = ASK

KEY_MEANINGS: Final = {  # kinds of level, for readers; the rules: docs/physics.md, 2
    "PM_HIGH": "highest trade of the premarket",
    "PM_LOW": "lowest trade of the premarket",
    "OR_HIGH": "highest trade of the opening range",
    "OR_LOW": "lowest trade of the opening range",
    "SMA_200": "mean of the last 200 two-minute closes",
    "SMA_400": "mean of the last 400 two-minute closes",
}
CONTEXT_MEANINGS: Final = {
    "PD_HIGH": "highest trade of the regular session before",
    "PD_LOW": "lowest trade of the regular session before",
    "PD_CLOSE": "last trade of the regular session before",
    "ON_HIGH": "highest trade since the Globex open, up to the regular open",
    "ON_LOW": "lowest trade since the Globex open, up to the regular open",
    "VWAP": "volume-weighted mean price since the regular open",
    "VWAP_UPPER": "one standard deviation above the volume-weighted mean",
    "VWAP_LOWER": "one standard deviation below the volume-weighted mean",
    "ROUND": "nearest round number",
    "CALL_WALL": "strike above at which dealers dampen most",
    "PUT_WALL": "strike below at which dealers dampen most",
}
LEVEL_MEANINGS: Final = KEY_MEANINGS | CONTEXT_MEANINGS
KEY_KINDS: Final = tuple(KEY_MEANINGS)
CONTEXT_KINDS: Final = tuple(CONTEXT_MEANINGS)
LEVEL_KINDS: Final = (*KEY_KINDS, *CONTEXT_KINDS)
(
    PM_HIGH, PM_LOW, OR_HIGH, OR_LOW, SMA_200, SMA_400,
    PD_HIGH, PD_LOW, PD_CLOSE, ON_HIGH, ON_LOW, VWAP, VWAP_UPPER, VWAP_LOWER, ROUND, CALL_WALL, PUT_WALL,
) = range(len(LEVEL_KINDS))  # fmt: skip

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

STATE_MEANINGS: Final = {  # for readers; the rules: docs/physics.md, 4 and 5
    "UNOBSERVED": "the zone behind the level is out of the visible book",
    "PASSED": "the price is through the zone",
    "VACUUM": "resting orders are pulled away",
    "WALL": "resting orders stand and are added to",
    "CONSUMED": "resting orders are traded away and not refilled",
    "ABSORPTION": "resting orders are traded away and refilled",
    "WEAK": "fewer resting orders than usual",
    "NEUTRAL": "nothing stands out",
    "UNKNOWN": "today's options do not tell",
    "AMPLIFY": "dealers trade with the move",
    "DAMPEN": "dealers trade against the move",
    "BREAK": "through the level",
    "BOUNCE": "back from the level",
    "CHOP": "neither within the time",
    "REJECT": "the score tells of a bounce",
    "CONTESTED": "the barrier is eaten while the tape is fast: it may go either way",
    "BOOK": "the book is stale, crossed or one-sided",
    "SPREAD": "the spread is wide",
    "OPTIONS": "none of today's options is known",
    "END": "too close to the end of the signal window",
}

VETOES: Final = ("NONE", "BOOK", "SPREAD", "OPTIONS", "END")  # stale or crossed; wide; none of today's known; too close to the end
NO_VETO, VETO_BOOK, VETO_SPREAD, VETO_OPTIONS, VETO_END = range(5)
