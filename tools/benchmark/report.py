# SPDX-License-Identifier: Apache-2.0
"""The table and the plots, from the figures of a run."""
import math
import textwrap

from rows import Goal, Row

MEMORY_GOAL_MIB = 256
# Rows whose systems are compared in a plot, by file.
PLOTS = {
    "writes": ("append-1", "append-8", "append-8-one", "exact", "sync-1"),
    "streams": ("stream", "stream-slow", "read-cold", "read-warm", "restore"),
    "names": ("create", "rename", "unlink"),
    "space": ("size-corpus", "size-history"),
    "snapshots": ("snapshot-10", "snapshot-10000"),
}


def memory_row(peak_bytes):
    return Row("memory", "server memory, the peak over all of this", "MiB",
               {"amberfs": [peak_bytes / 2**20]}, [Goal(MEMORY_GOAL_MIB)], note="VmHWM")


def number(value):
    """Three digits that count."""
    if value is None:
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def verdict(goal):
    if goal["met"] is None:
        return f"{goal['goal']}: not measured"
    return f"{goal['goal']}: {number(goal['result'])}, {'met' if goal['met'] else '**not met**'}"


def peers_of(row):
    return [f"{name} {number(value)}" for name, value in row["medians"].items() if name != "amberfs"]


def line_of(row):
    ours = number(row["medians"].get("amberfs"))
    return f"{row['work']}: amberfs {ours} {row['unit']}; {', '.join(peers_of(row))}; " \
        f"{'; '.join(verdict(goal) for goal in row['goals'])}"


def table(result):
    lines = ["| work | unit | amberfs | peers | goals (ratio of medians a round) |",
             "| --- | --- | --- | --- | --- |"]
    notes = []
    for row in result["rows"]:
        mark = ""
        if row["note"]:
            notes.append(row["note"])
            mark = f" [{len(notes)}]"
        lines.append(f"| {row['work']}{mark} | {row['unit']} | {number(row['medians'].get('amberfs'))} | "
                     f"{', '.join(peers_of(row)) or '–'} | {'<br>'.join(map(verdict, row['goals'])) or '–'} |")
    lines += ["", *(f"[{index}] {note}. " for index, note in enumerate(notes, 1))]
    return "\n".join(lines)


def head(result):
    machine = result["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    kind = "smoke run: the figures mean nothing" if result["smoke"] else \
        "quick run" if result["quick"] else "full run"
    return (f"{machine['date']}, {kind}; {machine['cpus']} × {machine['cpu']}, {machine['memory_gib']} GiB, "
            f"Linux {machine['kernel']}, {machine['amberfs']}. Peers: {packages}.")


def write(result, out):
    (out / "table.md").write_text(f"{head(result)}\n\n{table(result)}\n", encoding="utf-8")
    if result["smoke"]:
        return
    rows = {row["key"]: row for row in result["rows"]}
    for name, keys in PLOTS.items():
        chosen = [rows[key] for key in keys if key in rows and rows[key]["medians"]]
        if chosen:
            plot(chosen, out / f"{name}.png")


def plot(rows, path):
    """A panel for each row, a bar for each system; bars on a logarithmic scale where they differ
    by more than a factor of thirty."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, panels = pyplot.subplots(1, len(rows), figsize=(3.4 * len(rows), 3.4), squeeze=False)
    for axes, row in zip(panels[0], rows):
        medians = row["medians"]
        names = sorted(medians, key=lambda name: name != "amberfs")
        bars = axes.bar(range(len(names)), [medians[name] for name in names],
                        color=["#c77800" if name == "amberfs" else "#7a8794" for name in names])
        axes.bar_label(bars, [number(medians[name]) for name in names], fontsize=7)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
        axes.set_title("\n".join(textwrap.wrap(row["work"], 34)), fontsize=8)
        axes.set_ylabel(row["unit"], fontsize=8)
        if max(medians.values()) > 30 * max(1e-9, min(medians.values())):
            axes.set_yscale("log")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
