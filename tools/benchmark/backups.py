# SPDX-License-Identifier: Apache-2.0
"""The backup tools that are compared: each keeps versions of a directory in a repository."""
import os
import subprocess
from pathlib import Path

from machine import disk_use, run


class BackupTool:
    name = ""
    package = ""
    count = 0  # of versions

    def __init__(self, base, label=""):
        self.repository = Path(base) / f"repository-{self.name}{label}"
        self.environment = {**os.environ, "HOME": str(base), "XDG_CACHE_HOME": f"{base}/cache"}
        self.init()

    def call(self, *command, **more):
        return run(*command, env=self.environment, **more)

    def init(self):
        """Makes the repository."""

    def backup(self, directory):
        """Adds a version."""

    def restore(self, directory, target):
        """Brings the newest version of `directory` back, below `target`."""

    def size(self):
        return disk_use(self.repository)


class Restic(BackupTool):
    name = "restic"
    package = "restic"
    compression = "auto"

    def restic(self, *words):
        return self.call("restic", "-q", "-r", self.repository, "--compression", self.compression,
                         *words)

    def init(self):
        self.environment["RESTIC_PASSWORD"] = "benchmark"
        self.restic("init", "--repository-version", "2")

    def backup(self, directory):
        self.restic("backup", directory)

    def restore(self, directory, target):
        self.restic("restore", "latest", "--target", target)


class ResticMax(Restic):
    name = "restic-max"
    compression = "max"


class Borg(BackupTool):
    name = "borg"
    package = "borgbackup"
    compression = "lz4"  # its default

    def init(self):
        self.environment["BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK"] = "yes"
        self.call("borg", "init", "-e", "none", self.repository)

    def backup(self, directory):
        self.count += 1
        self.call("borg", "create", "-C", self.compression,
                  f"{self.repository}::version-{self.count}", directory)

    def restore(self, directory, target):
        Path(target).mkdir(exist_ok=True)
        self.call("borg", "extract", f"{self.repository}::version-{self.count}", cwd=target)


class BorgZstd(Borg):
    name = "borg-zstd,19"
    compression = "zstd,19"


class Zbackup(BackupTool):
    name = "zbackup"
    package = "zbackup"

    def init(self):
        self.call("zbackup", "init", "--non-encrypted", self.repository)

    def backup(self, directory):
        self.count += 1
        target = self.repository / "backups" / f"version-{self.count}"
        tar = subprocess.Popen(["tar", "-C", directory, "-c", "."], stdout=subprocess.PIPE)
        self.call("zbackup", "--silent", "--non-encrypted", "backup", target, stdin=tar.stdout)
        if tar.wait() != 0:
            raise SystemExit("tar failed")


class Bup(BackupTool):
    name = "bup"
    package = "bup"

    def init(self):
        self.environment["BUP_DIR"] = str(self.repository)
        self.call("bup", "init")

    def backup(self, directory):
        self.call("bup", "index", directory)
        self.call("bup", "save", "-q", "-n", "logs", directory)


TOOLS = {tool.name: tool for tool in (Restic, ResticMax, Borg, BorgZstd, Zbackup, Bup)}
