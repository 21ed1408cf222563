"""Progress is shown to a person at a terminal, and to nobody else."""

import os
import pty
import subprocess
import sys

import pytest
from pytest_runs import LIMIT, QUIET, ROOT, clean

pytestmark = pytest.mark.slow


def screen(**environment: str) -> str:
    """What a short run writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pytest", *QUIET, "suites/throughput", "-m", "quick", "--hil-bench", "sim"]
    kept = {key: value for key, value in clean(os.environ).items() if key != "CI"}
    run = subprocess.Popen(command, cwd=ROOT, env={**kept, **environment}, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # Linux says so where the other end of a terminal is closed
        pass
    finally:
        os.close(ours)
        assert run.wait(LIMIT) == 0, shown.decode()
    return shown.decode()


@pytest.mark.parametrize(("environment", "is_shown"), [({}, True), ({"CI": "true"}, False)], ids=["person", "CI"])
def test_long_work_is_named_while_it_lasts(environment, is_shown):
    shown = screen(**environment)

    assert ("looking for enclosures" in shown) is is_shown
    assert ("50 × H2D 4 KiB …\x1b8\x1b[K" in shown) is is_shown
