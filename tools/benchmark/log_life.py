# SPDX-License-Identifier: Apache-2.0
"""The life of a log directory, hour by hour: logs grow, rotate by rename or by copytruncate, and
are compressed by gzip. The same hours give the same bytes, whatever directory they happen in."""
import gzip
import random
import shutil
from pathlib import Path

ROTATE_EVERY = 8  # hours
KEEP = 4


class LogLife:
    """`sources`: real or generated logs, whose lines come one after another."""

    # name, how often in a day's hours it rotates, by copytruncate instead of by rename
    LOGS = (("syslog", False), ("auth.log", False), ("nginx/access.log", False),
            ("app/server.log", True), ("db/slow.log", True), ("worker.log", False))

    def __init__(self, sources, hours):
        """Each log has sources of its own, and no line comes twice: in so many hours they are used
        up, about."""
        self.texts = [b"".join(sources[index::len(self.LOGS)]) for index in range(len(self.LOGS))]
        self.used = [0] * len(self.LOGS)
        self.hours = hours

    def hour(self, number, directories):
        """What happens in one hour, in each of the directories."""
        dice = random.Random(number)
        for index, (name, copytruncate) in enumerate(self.LOGS):
            text, start = self.texts[index], self.used[index]
            size = int(len(text) / self.hours * dice.uniform(0.3, 1.7))
            new = text[start:start + size]
            self.used[index] += len(new)
            for directory in directories:
                log = Path(directory) / name
                log.parent.mkdir(exist_ok=True)
                if number and (number + index) % ROTATE_EVERY == 0:
                    rotate(log, copytruncate)
                with open(log, "ab") as out:
                    out.write(new)


def rotate(log, copytruncate):
    """As logrotate with compress and delaycompress."""
    for age in range(KEEP, 1, -1):
        old = log.with_name(f"{log.name}.{age}.gz")
        if old.exists():
            if age == KEEP:
                old.unlink()
            else:
                old.rename(log.with_name(f"{log.name}.{age + 1}.gz"))
    first = log.with_name(f"{log.name}.1")
    if first.exists():
        with open(log.with_name(f"{log.name}.2.gz"), "wb") as raw, \
                gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as out:
            out.write(first.read_bytes())
        first.unlink()
    if copytruncate:
        shutil.copyfile(log, first)
        with open(log, "r+b") as out:
            out.truncate(0)
    else:
        log.rename(first)
