"""One run of libFuzzer over one target, in a process that it ends itself: `python -m tests.fuzz.run TARGET FOLDER... -OPTIONS`."""

import os
import random
import sys

os.environ["NUMBA_DISABLE_JIT"] = "1"  # its branches count, too

import atheris

with atheris.instrument_imports(
    include=["spymaster_assets.dbn", "spymaster_live.split", "spymaster_live.messages", "spymaster_live.symbols"]
):
    from tests.fuzz import targets
from tests.fuzz.spoil import spoilt


def main(target: str, arguments: list[str]) -> None:
    check = targets.TARGETS[target]

    def once(data: bytes) -> None:
        check(data)

    def spoil(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        changed = atheris.Mutate(data, most) if rng.random() < 0.15 else spoilt(target, data, rng)
        return changed[:most]

    atheris.Setup([sys.argv[0], *arguments], once, custom_mutator=spoil)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
