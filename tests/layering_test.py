#!/usr/bin/env python3
"""Reads the #include lines of our C++ and fails on one that points in a direction the design forbids.

usage: layering_test.py [ROOT]        checks the tree below ROOT (default: the repository), after checking itself
The rules are the tables below; the design's section "Folders and who may include whom" is their source.
"""
import os
import re
import sys
import tempfile

# Which of our folders a folder is built on. It may also include what those are built on.
BUILT_ON = {
    "index": {"server/base"},
    "server/base": set(),
    "server/storage": {"server/base"},
    "server/analysis": {"server/base", "server/storage"},
    "server/encoder": {"server/base"},
    "server/training": {"server/base", "server/encoder", "index"},
    "server/release": {"server/base", "server/encoder", "server/storage", "index"},
    "server/snapshot": {"server/base", "server/release", "server/storage"},
    "server/jobs": {"server/analysis", "server/base", "server/release", "server/snapshot", "server/storage"},
    "server/search": {"server/base", "server/release"},
    "server/rpc": {"server/base", "server/jobs", "server/release", "server/search", "server/storage"},
    "client": set(),
}


def everything_below(folder):
    below = set(BUILT_ON[folder])
    for dependency in BUILT_ON[folder]:
        below |= everything_below(dependency)
    return below


ALLOWED = {folder: everything_below(folder) for folder in BUILT_ON}
# server/main.cc and the other files of the program wire everything together.
UNRESTRICTED = "server"

PROTOBUF = "gRPC or protobuf"
# Libraries that only some folders may see: what their headers look like, and where they may be included.
LIBRARIES = {
    "torch": (re.compile(r"^(torch|ATen|c10|caffe2)/"), ("server/encoder", "server/training")),
    PROTOBUF: (re.compile(r"^(grpc|grpcpp|grpc\+\+|google/protobuf|google/rpc)/|\.pb\.h$"),
               ("server/rpc", "client", "server/main.cc")),
    "SQLite": (re.compile(r"^(sqlite3(ext)?\.h$|SQLiteCpp/)"), ("server/storage",)),
    "FAISS": (re.compile(r"^faiss/"), ("index",)),
    "libarchive": (re.compile(r"^archive(_entry)?\.h$"), ("server/snapshot",)),
}
FREE_TESTS = ("tests/support", "tests/e2e", "tests/bench", "tests/fuzz")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
SOURCE_SUFFIXES = (".cc", ".h")
CAPPED_SUFFIXES = (".cc", ".h", ".py", ".sh", ".rs", ".proto")
MAX_LINES = 500
SKIPPED_FOLDERS = {"build", ".git", "target", "__pycache__", "node_modules", ".cache"}
# Copied as published, so neither capped nor ours to restructure.
FOREIGN_FOLDERS = {"proto/google"}


def files_below(root):
    for folder, subfolders, names in os.walk(root):
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        subfolders[:] = [name for name in subfolders if name not in SKIPPED_FOLDERS
                         and os.path.normpath(relative + "/" + name) not in FOREIGN_FOLDERS]
        for name in names:
            yield os.path.normpath(os.path.join(relative, name)).replace(os.sep, "/")


def folder_of(path):
    """The folder of the table that `path` (a file or an include) belongs to, or None when it is not one of ours."""
    for folder in sorted(ALLOWED, key=len, reverse=True):
        if path.startswith(folder + "/"):
            return folder
    return UNRESTRICTED if path.startswith("server/") else None


def is_within(path, places):
    return any(path == place or path.startswith(place + "/") for place in places)


def includes_of(lines):
    for number, line in enumerate(lines, start=1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1)


def may_see(library, path):
    """Tests of a folder may see what the folder sees; tests that drive whole programs, and benchmarks, see anything."""
    places = LIBRARIES[library][1]
    return is_within(path.removeprefix("tests/"), places) or is_within(path, FREE_TESTS)


def check_includes(path, lines):
    problems = []
    own = folder_of(path)
    for number, include in includes_of(lines):
        where = f"{path}:{number}: includes {include}: "
        if include.startswith("."):
            problems.append(where + "includes are written from the root of the repository")
        for library, (pattern, places) in LIBRARIES.items():
            if pattern.search(include) and not may_see(library, path):
                problems.append(where + f"{library} headers belong only in {', '.join(places)}")
        target = folder_of(include)
        if own in ALLOWED and target is not None and target != own and target not in ALLOWED[own]:
            allowed = ", ".join(sorted(ALLOWED[own])) or "nothing of ours"
            problems.append(where + f"{own} may include {allowed} besides itself")
        if own is not None and include.startswith("tests/"):
            problems.append(where + "sources never include tests")
    return problems


def check_translation_units(sources):
    """What a file sees through our own headers: torch stays behind its wall, and never meets protobuf."""
    def reached(path, visited):
        """{library: the chain of files that brings it in}"""
        found = {}
        visited.add(path)
        for _, include in includes_of(sources[path]):
            for library, (pattern, _) in LIBRARIES.items():
                if pattern.search(include):
                    found.setdefault(library, [include])
            if include in sources and include not in visited:
                for library, chain in reached(include, visited).items():
                    found.setdefault(library, [include] + chain)
        return found

    problems = []
    for path in sources:
        found = reached(path, set())
        if "torch" in found and not may_see("torch", path) and len(found["torch"]) > 1:
            problems.append(f"{path}: sees torch headers through {' -> '.join(found['torch'])}")
        if "torch" in found and PROTOBUF in found:
            problems.append(f"{path}: torch ({' -> '.join(found['torch'])}) and protobuf "
                            f"({' -> '.join(found[PROTOBUF])}) headers never meet in one translation unit")
    return problems


def check_tree(root):
    problems, sources, counted = [], {}, 0
    for path in files_below(root):
        if not path.endswith(CAPPED_SUFFIXES):
            continue
        with open(os.path.join(root, path), encoding="utf-8") as file:
            lines = file.read().splitlines()
        counted += 1
        if len(lines) > MAX_LINES:
            problems.append(f"{path}: {len(lines)} lines, more than {MAX_LINES}")
        if path.endswith(SOURCE_SUFFIXES):
            sources[path] = lines
            problems += check_includes(path, lines)
    return problems + check_translation_units(sources), counted


# (file, its text, a part of the message expected or None when the file is fine)
SELF_CHECK = [
    ("server/base/a.cc", '#include "server/storage/b.h"\n', "server/base may include nothing of ours"),
    ("server/base/ok.cc", '#include "server/base/files.h"\n#include <vector>\n', None),
    ("server/storage/a.cc", '#include "server/release/b.h"\n', "server/storage may include server/base"),
    ("server/jobs/a.cc", '#include "server/training/trainer.h"\n', "server/jobs may include"),
    ("server/search/a.cc", '#include "server/jobs/b.h"\n', "server/search may include"),
    ("server/search/ok.cc", '#include "server/release/b.h"\n#include "server/storage/b.h"\n', None),
    ("index/a.h", '#include "server/storage/records.h"\n', "index may include"),
    ("index/ok.cc", '#include "server/base/status.h"\n', None),
    ("client/a.cc", '#include "server/base/status.h"\n', "client may include nothing of ours"),
    ("server/release/a.cc", "#include <torch/torch.h>\n", "torch headers belong only in"),
    ("server/encoder/ok.cc", "#include <ATen/ATen.h>\n", None),
    ("server/search/b.cc", '#include "tandem/v1/search.pb.h"\n', "gRPC or protobuf headers belong only in"),
    ("server/main.cc", '#include <grpcpp/grpcpp.h>\n#include "server/rpc/a.h"\n#include "server/jobs/b.h"\n', None),
    ("server/encoder/tensor.h", "#include <torch/torch.h>\n", None),
    ("server/encoder/wall.h", '#include "server/encoder/tensor.h"\n', None),
    ("server/release/leak.cc", '#include "server/encoder/wall.h"\n',
     "sees torch headers through server/encoder/wall.h -> server/encoder/tensor.h -> torch/torch.h"),
    ("tests/bench/meet.cc", '#include "server/encoder/wall.h"\n#include <grpcpp/grpcpp.h>\n', "never meet"),
    ("server/encoder/b.cc", "#include <torch/torch.h>\n#  include <google/protobuf/message.h>\n", "never meet"),
    ("server/release/b.cc", "#include <faiss/Index.h>\n", "FAISS headers belong only in index"),
    ("server/jobs/b.cc", "#include <sqlite3.h>\n", "SQLite headers belong only in server/storage"),
    ("server/jobs/c.cc", "#include <archive.h>\n", "libarchive headers belong only in server/snapshot"),
    ("server/snapshot/a.cc", '#include "server/jobs/b.h"\n', "server/snapshot may include"),
    ("tests/server/base/a_test.cc", "#include <torch/torch.h>\n", "torch headers belong only in"),
    ("tests/server/encoder/a_test.cc", "#include <torch/torch.h>\n", None),
    ("tests/e2e/ok_test.cc", '#include "tandem/v1/search.grpc.pb.h"\n', None),
    ("server/rpc/relative.cc", '#include "../base/status.h"\n', "from the root of the repository"),
    ("server/rpc/a.cc", '#include "tests/support/fake.h"\n', "never include tests"),
    ("tests/long.py", "pass\n" * 501, "501 lines, more than 500"),
    ("tests/ok.sh", "true\n" * 500, None),
    ("proto/google/rpc/long.proto", "//\n" * 900, None),
    ("build/x/server/base/a.cc", "#include <torch/torch.h>\n", None),
]


def check_self():
    with tempfile.TemporaryDirectory() as root:
        for path, text, _ in SELF_CHECK:
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        problems, _ = check_tree(root)
    failures = []
    for path, _, expected in SELF_CHECK:
        own = [problem for problem in problems if problem.startswith(path + ":")]
        if expected is None and own:
            failures.append(f"self-check: {path} is fine, yet: {own}")
        elif expected is not None and not any(expected in problem for problem in own):
            failures.append(f"self-check: {path} should fail with '{expected}', got {own}")
    return failures


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    failures = check_self()
    problems, counted = check_tree(root)
    if counted == 0:
        failures.append(f"{root}: no source file found")
    for line in failures + problems:
        print(line)
    print(f"layering: {counted} files, {len(failures + problems)} problems")
    return 1 if failures or problems else 0


if __name__ == "__main__":
    sys.exit(main())
