#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what the compiler cannot: layers, include cycles, who may see which library, file form.

usage: tidy.py [--root DIR]     exit 1 and one line per finding: FILE:LINE: what is wrong
The rules stand in layers.toml beside this file. Before it looks at the tree, it plants one violation
of each rule in a scratch tree and makes sure that it finds them all: a silent tidy proves nothing.
"""
import argparse
import os
import re
import sys
import tempfile

try:
    import tomllib
except ImportError:
    sys.exit("tidy.py needs Python 3.11 or newer")

HERE = os.path.dirname(os.path.abspath(__file__))
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
SPDX = "SPDX-License-Identifier: Apache-2.0"
LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX)\b")
MACHINE_PATH = re.compile(r"/(home|work|Users)/[A-Za-z]|/root/\.")
SOURCE_FOLDERS = ("blockstore", "snapshot", "fs", "tools", "tests", "cmake", ".ci")
LINES_MAX, COLUMNS_MAX = 600, 100


class Source:
    def __init__(self, root, path):
        self.path = path
        self.base, self.kind = os.path.splitext(path)
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as text:
            self.lines = text.read().splitlines()

    def includes(self):
        """(line number, "quoted" path or None, <angled> path or None)"""
        for number, line in enumerate(self.lines, 1):
            found = INCLUDE.match(line)
            if found:
                yield number, found.group(1), found.group(2)

    @property
    def is_cxx(self):
        return self.kind in (".h", ".cc", ".def")

    @property
    def is_text_script(self):
        return self.kind in (".py", ".sh", ".cmake") or os.path.basename(
            self.path) == "CMakeLists.txt" or (bool(self.lines) and self.lines[0].startswith("#!"))


def sources_below(root):
    for folder in SOURCE_FOLDERS:
        for where, dirs, names in os.walk(os.path.join(root, folder)):
            dirs[:] = [name for name in dirs if name != "__pycache__"]
            for name in sorted(names):
                source = Source(root, os.path.relpath(os.path.join(where, name), root))
                if source.is_cxx or source.is_text_script:
                    yield source


def module_of(path, rules):
    """The deepest module that holds the path: tools, fs, snapshot, blockstore, blockstore/base."""
    holding = [name for name in rules["order"] if path.startswith(name + "/")]
    return max(holding, key=len) if holding else None


def check_layers(source, rules):
    own = module_of(source.path, rules)
    if own is None or not source.is_cxx:
        return
    for number, quoted, _ in source.includes():
        target = quoted and module_of(quoted, rules)
        if target and rules["order"].index(target) < rules["order"].index(own):
            yield number, f"{own} includes {quoted}: dependencies point down only"
        if quoted and "/" not in quoted:
            yield number, f'"{quoted}": includes are relative to the root'


def check_libraries(source, rules):
    """Each guarded library is seen only where layers.toml says."""
    if not source.is_cxx or source.path.startswith("tests/"):
        return
    for number, _, angled in source.includes():
        for rule in rules["library"]:
            if angled and re.fullmatch(rule["header"], angled) and not re.fullmatch(
                    rule["seen_by"], source.path):
                yield number, f"<{angled}> may be seen only by {rule['seen_by']}"


def without_strings_and_comments(line):
    return re.sub(r"//.*", "", re.sub(r'"(\\.|[^"\\])*"', '""', line))


def check_calls(source, rules):
    """Raw system calls on files go through Io, which tests can fail and cut."""
    if source.kind not in (".h", ".cc") or not source.path.startswith(tuple(rules["raw"]["within"])):
        return
    if any(re.fullmatch(allowed["file"], source.path) for allowed in rules["raw_allowed"]):
        return
    call = re.compile(r"(?<![\w.>])::(" + "|".join(rules["raw"]["calls"]) + r")\s*\(")
    for number, line in enumerate(source.lines, 1):
        found = call.search(without_strings_and_comments(line))
        if found:
            yield number, f"raw {found.group(1)}(): disk access goes through Io"


def check_form(source, _rules):
    head = source.lines[:3]
    if source.kind != ".def" and not any(SPDX in line for line in head):
        yield 1, "no SPDX line at the top"
    if source.kind == ".h" and not source.path.startswith("tests/"):
        second = source.lines[1] if len(source.lines) > 1 else ""
        if not re.match(r"// \S", second):
            yield 2, "no header comment: what it is, and its contract"
        if "#pragma once" not in source.lines:
            yield 1, "no #pragma once"
    if source.is_cxx and len(source.lines) > LINES_MAX:
        yield len(source.lines), f"{len(source.lines)} lines, more than {LINES_MAX}: two things?"


def check_lines(source, rules):
    for number, line in enumerate(source.lines, 1):
        if source.is_cxx and len(line) > COLUMNS_MAX and not any(
                word in line for word in rules["long_lines_with"]):
            yield number, f"{len(line)} columns, more than {COLUMNS_MAX}"
        if source.path.startswith("tests/tidy/"):
            continue
        if LEFTOVER.search(line):
            yield number, "leftover: " + line.strip()[:60]
        if MACHINE_PATH.search(line):
            yield number, "a path of one machine: " + line.strip()[:60]


def cmake_text(root, folder):
    """The CMakeLists.txt of a folder without its comments; "" when there is none."""
    listing = os.path.join(root, folder, "CMakeLists.txt")
    if not os.path.exists(listing):
        return ""
    with open(listing, encoding="utf-8") as cmake:
        return re.sub(r"#.*", "", cmake.read())


def check_tests_registered(sources, root):
    """Every tests/**/*_test.cc is named in a CMakeLists.txt: by its name, or by its stem in a
    foreach over "${name}_test.cc"."""
    everywhere = "".join(cmake_text(root, folder) for folder in
                         sorted({os.path.dirname(s.path) for s in sources}))
    for source in sources:
        if re.fullmatch(r"tests/.*_test\.cc", source.path):
            folder, name = os.path.split(source.path)
            own, stem = cmake_text(root, folder), name.removesuffix("_test.cc")
            named = re.search(rf"(?<![\w-]){re.escape(name)}", own) or source.path in everywhere
            looped = "${name}_test.cc" in own and re.search(rf"(?<!\w){re.escape(stem)}(?!\w)", own)
            if not named and not looped:
                yield source.path, 1, "this test is not registered in CMakeLists.txt: it never runs"


def check_sources_built(sources, root):
    """Every .cc of a module is named in a CMakeLists.txt: code that is not built rots."""
    for source in sources:
        if source.kind == ".cc" and not source.path.startswith("tests/"):
            folder, text = os.path.dirname(source.path), ""
            while folder:
                text += cmake_text(root, folder)
                folder = os.path.dirname(folder)
            if os.path.basename(source.path) not in text:
                yield source.path, 1, "no CMakeLists.txt builds this file"


def check_cycles(sources):
    """Include cycles among headers, found by depth-first search."""
    graph = {s.path: [quoted for _, quoted, _ in s.includes() if quoted]
             for s in sources if s.kind == ".h"}
    done, trail = set(), []

    def visit(path):
        if path in trail:
            yield path, 1, "include cycle: " + " → ".join(trail[trail.index(path):] + [path])
        elif path in graph and path not in done:
            trail.append(path)
            for target in graph[path]:
                yield from visit(target)
            trail.pop()
            done.add(path)

    for path in sorted(graph):
        yield from visit(path)


def findings(root, rules):
    sources = list(sources_below(root))
    for source in sources:
        for check in (check_layers, check_libraries, check_calls, check_form, check_lines):
            for number, what in check(source, rules):
                yield f"{source.path}:{number}: {what}"
    for check in (lambda: check_tests_registered(sources, root),
                  lambda: check_sources_built(sources, root), lambda: check_cycles(sources)):
        for path, number, what in check():
            yield f"{path}:{number}: {what}"


HEADER = f"// {SPDX}\n// Planted.\n#pragma once\n"
CANARIES = {  # file → (content, what the finding must say)
    "blockstore/up.h": (HEADER + '#include "fs/a.h"\n', "dependencies point down"),
    "snapshot/side.h": (HEADER + '#include "side.h"\n', "relative to the root"),
    "fs/edge.h": (HEADER + "#include <fuse_lowlevel.h>\n", "may be seen only by"),
    "snapshot/raw.h": (HEADER + "inline int f(int d) { return ::fsync(d); }\n", "raw fsync()"),
    "fs/a.h": (HEADER + '#include "fs/b.h"\n', "include cycle"),
    "fs/b.h": (HEADER + '#include "fs/a.h"\n', "include cycle"),
    "fs/bare.h": ("#pragma once\n", "no SPDX"),
    "fs/mute.h": (f"// {SPDX}\n#pragma once\n", "no header comment"),
    "fs/long.h": (HEADER + "\n" * LINES_MAX, "more than 600"),
    "fs/wide.h": (HEADER + "// " + "w" * COLUMNS_MAX + "\n", "more than 100"),
    "fs/left.h": (HEADER + "// TO" + "DO later\n", "leftover"),
    "fs/path.h": (HEADER + "// see /ho" + "me/somebody/x\n", "path of one machine"),
    "tests/fs/lost_test.cc": (f"// {SPDX}\n", "not registered"),
    "fs/unbuilt.cc": (f"// {SPDX}\n", "no CMakeLists.txt builds"),
}


def check_canaries(rules):
    with tempfile.TemporaryDirectory() as root:
        for path, (content, _) in CANARIES.items():
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as target:
                target.write(content)
        found = list(findings(root, rules))
    return [f"tidy itself is blind: planted in {path}, not found: {word}"
            for path, (_, word) in CANARIES.items()
            if not any(word in line and (line.startswith(path) or word == "include cycle")
                       for line in found)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default=os.path.join(HERE, "../.."))
    root = os.path.realpath(parser.parse_args().root)
    with open(os.path.join(HERE, "layers.toml"), "rb") as text:
        rules = tomllib.load(text)
    problems = check_canaries(rules) + list(findings(root, rules))
    print("\n".join(problems) if problems else "tidy")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
