# SPDX-License-Identifier: Apache-2.0
"""A row of the table: what was measured on whom, and whether the goal is met."""
import statistics
from dataclasses import dataclass, field


@dataclass
class Goal:
    """amberfs's value against a limit: as a ratio to `peer`, or as it is when there is no peer."""
    limit: float
    peer: str = ""
    at_least: bool = False

    def judge(self, values):
        """(what is compared with the limit, whether it meets it), or None: not measured."""
        ours = values.get("amberfs")
        if not ours or (self.peer and not values.get(self.peer)):
            return None
        if self.peer:
            pairs = list(zip(ours, values[self.peer]))
            result = statistics.median(a / b for a, b in pairs)
        else:
            result = statistics.median(ours)
        return result, (result >= self.limit if self.at_least else result <= self.limit)

    def text(self, unit):
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.limit:g} × {self.peer}" if self.peer else f"{sign} {self.limit:g} {unit}"


@dataclass
class Row:
    """`values`: by system, one figure for each round, in `unit`."""
    key: str
    work: str
    unit: str
    values: dict
    goals: list = field(default_factory=list)
    note: str = ""

    def medians(self):
        return {name: statistics.median(of) for name, of in self.values.items() if of}

    def to_json(self):
        goals = []
        for goal in self.goals:
            judged = goal.judge(self.values)
            goals.append({"goal": goal.text(self.unit),
                          "result": judged[0] if judged else None,
                          "met": bool(judged[1]) if judged else None})
        return {"key": self.key, "work": self.work, "unit": self.unit, "note": self.note,
                "values": self.values, "medians": self.medians(), "goals": goals}


def smallest(values):
    """A goal of being the smallest: against whichever peer is."""
    peers = {name: statistics.median(of) for name, of in values.items() if name != "amberfs" and of}
    return Goal(1.0, min(peers, key=peers.get)) if peers else Goal(1.0)
