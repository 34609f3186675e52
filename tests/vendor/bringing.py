"""A download in a process of its own, which a test may kill. A module of its own, so that such a process starts at once."""

import datetime as dt
import os
from multiprocessing.connection import Connection
from pathlib import Path

from spymaster_assets.config import load, vendor_key
from spymaster_assets.download import Download, Way
from spymaster_assets.lake import Lake
from spymaster_assets.vendor import Vendor


def bring(root: Path, date: dt.date, way: Way, environment: dict[str, str], told: Connection) -> None:
    """Says that it is there, waits for a word, brings what the date lacks, and tells what trouble there was."""
    os.environ.clear()
    os.environ.update(environment)
    told.send("ready")
    told.recv()
    told.send(Download(Lake(root, load()), Vendor(load(), vendor_key()), way=way).run([date], lambda _: True).trouble)
