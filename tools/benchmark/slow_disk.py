# SPDX-License-Identifier: Apache-2.0
"""A disk that is held to a speed: a loop device under limits of the block layer, with the
file system beneath and an amberfs store on it. For goals that are about disks slower than the codec."""
import contextlib
from dataclasses import dataclass
from pathlib import Path

from machine import run
from systems import Amberfs, Ext4

LIMIT = 290 * 10**6  # bytes a second
THROTTLES = [Path(f"/sys/fs/cgroup/blkio/blkio.throttle.{way}_bps_device")
             for way in ("write", "read")]


@dataclass
class SlowDisk:
    limit: int
    systems: list


@contextlib.contextmanager
def slow_disk(bench):
    """Yields a SlowDisk, or None where no limit can be set."""
    if not all(throttle.exists() for throttle in THROTTLES):
        yield None
        return
    base = bench.base / "slow"
    point = base / "disk"
    point.mkdir(parents=True)
    run("truncate", "-s", "24G", base / "image")
    device = run("losetup", "--find", "--show", "--direct-io=on", base / "image").strip()
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(run, "losetup", "--detach", device)
        run("mkfs.ext4", "-q", device)
        run("mount", device, point)
        cleanup.callback(run, "umount", point)
        number = Path(f"/sys/block/{Path(device).name}/dev").read_text(encoding="ascii").strip()
        for throttle in THROTTLES:
            throttle.write_text(f"{number} {LIMIT}\n", encoding="ascii")
            cleanup.callback(throttle.write_text, f"{number} 0\n", encoding="ascii")
        amberfs = Amberfs(point, bench.binary)
        amberfs.start()
        cleanup.callback(amberfs.stop)
        yield SlowDisk(LIMIT, [Ext4(point), amberfs])
