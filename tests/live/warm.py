"""What the rig's fork server imports: once read, a feed or an engine that it forks has every module and kernel it needs."""

import spymaster_live.__main__
import spymaster_live.feed
import spymaster_live.gateway.serving
import spymaster_live.serving
import spymaster_live.writer  # noqa: F401
from spymaster_assets.config import Config
from spymaster_live.rehearsal import rehearse

rehearse(Config())
