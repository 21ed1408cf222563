"""Where the history file is: as told, as the environment says, or the user's own data folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

VARIABLE: Final = "HIL_HISTORY"


def history_path(told: Path | None) -> Path:
    """The history file: `told`, else what ``HIL_HISTORY`` names, else ``history.db`` in the user's data folder."""
    if told is not None:
        return told
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    import platformdirs  # noqa: PLC0415  (who names a file does not pay for it)

    return platformdirs.user_data_path("hil") / "history.db"
