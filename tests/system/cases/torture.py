#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The short form of tests/torture: 50 kills under all kinds of writers, a few upgrades, and mistakes
made on purpose, each of which must be found."""
# timeout: 240
import os
import subprocess
import sys

import amber

TORTURE = os.path.join(os.environ["AMBERFS_ROOT"], "tests", "torture", "torture.py")


def torture(*arguments, code):
    print("$ torture.py", *arguments, flush=True)
    done = subprocess.run([sys.executable, TORTURE, "--binary", amber.BINARY, *arguments],
                          timeout=200, check=False)
    amber.equal(done.returncode, code, f"torture {arguments}")


torture("--kills", "50", "--interval", "0.1", "0.6", "--files", "2000", code=0)
torture("--kills", "0", "--upgrades", "5", "--interval", "0.1", "0.5", code=0)
for mistake in ("double", "drop", "flip", "name"):
    torture("--kills", "1", "--plant", mistake, code=1)
