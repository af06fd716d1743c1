# SPDX-License-Identifier: Apache-2.0
"""The file systems that are compared. Each gives a directory to work in, all on the same disk."""
import json
import os
import re
import subprocess
from pathlib import Path

from machine import disk_use, run

IMAGE_SIZE = "40G"  # sparse


class System:
    """One file system. `slow`: about how many times slower than ext4 small writes are; it is given
    that many times fewer of them."""

    name = ""
    package = ""
    slow = 1

    def __init__(self, base):
        self.base = Path(base) / self.name
        self.directory = self.base / "mnt"
        self.directory.mkdir(parents=True)

    def start(self):
        """Mounts it."""

    def settle(self):
        """All that was written is where it will stay; nothing goes on in the background."""
        run("sync", "-f", self.directory)

    def forget(self):
        """Nothing of its own is cached any more (the kernel's page cache is dropped elsewhere)."""

    def stop(self):
        """Unmounts it."""


class Ext4(System):
    """The directory beneath, whatever its file system is."""

    name = "ext4"
    package = "e2fsprogs"


class LoopSystem(System):
    """A file system in an image on the same disk."""

    make = ()
    options = ""

    def start(self):
        image = self.base / "image"
        run("truncate", "-s", IMAGE_SIZE, image)
        run(*self.make, image)
        run("mount", "-o", "loop" + self.options, image, self.directory)

    def stop(self):
        run("umount", self.directory)


class Btrfs(LoopSystem):
    name = "btrfs"
    package = "btrfs-progs"
    slow = 4
    make = ("mkfs.btrfs", "-q")
    options = ",compress=zstd:3"

    def used(self):
        said = run("btrfs", "filesystem", "usage", "-b", self.directory)
        return int(re.search(r"^\s*Used:\s*(\d+)", said, re.MULTILINE).group(1))


class Xfs(LoopSystem):
    name = "xfs"
    package = "xfsprogs"
    make = ("mkfs.xfs", "-q")


class FuseSystem(System):
    """A view of another directory."""

    def start(self):
        source = self.base / "source"
        source.mkdir()
        self.show(source)

    def show(self, source):
        """Mounts `source`."""

    def stop(self):
        run("fusermount3", "-u", self.directory)


class Bindfs(FuseSystem):
    name = "bindfs"
    package = "bindfs"
    slow = 100

    def show(self, source):
        run("bindfs", source, self.directory)


class Gocryptfs(FuseSystem):
    name = "gocryptfs"
    package = "gocryptfs"
    slow = 100

    def show(self, source):
        run("gocryptfs", "-q", "-init", "-extpass", "echo benchmark", source)
        run("gocryptfs", "-q", "-extpass", "echo benchmark", source, self.directory)


class Amberfs(System):
    name = "amberfs"
    package = ""

    def __init__(self, base, binary):
        super().__init__(base)
        self.binary = binary
        self.store = self.base / "store"
        self.key_file = None  # of an encrypted store
        self.peak_memory = 0  # bytes, of all servers so far

    def key_options(self):
        return ("--key-file", self.key_file) if self.key_file else ()

    def init(self, **settings):
        """Makes the store. `settings`: table__key=value, in the place of the default."""
        run(self.binary, "init", self.store, *(["--encrypt"] if self.key_file else []), *self.key_options())
        config = self.store / "config.toml"
        text = config.read_text(encoding="utf-8")
        for name, value in settings.items():
            table, key = name.split("__")
            pattern = rf"(?ms)(^\[{table}\][^\[]*?^{key} = )[^\n]*"
            text, found = re.subn(pattern, lambda match, value=value: match.group(1) + value, text)
            if found != 1:
                raise SystemExit(f"config.toml has no {key} in [{table}]")
        config.write_text(text, encoding="utf-8")

    def start(self):
        if not self.store.exists():
            self.init(capture__exact='["exact/**"]', schedule__every='"off"')
        self.mount()

    def mount(self):
        run(self.binary, "mount", self.store, self.directory, *self.key_options())

    def unmount(self):
        self.note_memory()
        run(self.binary, "umount", self.directory)

    def stop(self):
        self.unmount()

    def status(self):
        return json.loads(run(self.binary, "status", self.directory, "--json"))

    def note_memory(self):
        pid = self.status()["server_pid"]
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        peak = int(re.search(r"VmHWM:\s*(\d+)", status).group(1)) * 1024
        self.peak_memory = max(self.peak_memory, peak)
        return peak

    def snapshot(self, name=None):
        run(self.binary, "snapshot", self.directory, *(["--name", name] if name else []))

    def settle(self):
        self.snapshot()

    def forget(self):
        self.unmount()
        self.mount()

    def has_command(self, name):
        return f"\n  {name} " in run(self.binary, "--help")

    def store_size(self):
        """Bytes of the unmounted store: (blocks, index, snapshots; the journal and the reserve,
        which do not grow with what is stored)."""
        fixed = sum(disk_use(self.store / name) for name in ("journal", "reserve")
                    if (self.store / name).exists())
        return disk_use(self.store) - fixed, fixed


def unmount_all(base):
    """Whatever happened: nothing below `base` stays mounted."""
    mounts = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        point = line.split()[4]
        if point.startswith(str(base) + "/"):
            mounts.append((point, line.split()[2]))
    for point, device in sorted(mounts, reverse=True):
        done = subprocess.run(["umount", point], check=False, timeout=120,
                              stderr=subprocess.DEVNULL)
        if done.returncode != 0:
            abort = Path(f"/sys/fs/fuse/connections/{device.split(':')[1]}/abort")
            if device.startswith("0:") and abort.exists():
                abort.write_text("1", encoding="ascii")
            subprocess.run(["umount", "-l", point], check=False, timeout=60)


def require_root():
    if os.geteuid() != 0:
        raise SystemExit("mounting file systems needs root: sudo tools/bench")
