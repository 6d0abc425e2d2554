#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py PREFIX OUTPUT FILE...: a C header that holds each FILE as a string PREFIX_NAME."""

import os
import re
import sys

ESCAPES = {ord("\\"): "\\\\", ord('"'): '\\"', ord("\t"): "\\t", ord("?"): "\\?"}


def literal(line):
    return '"' + "".join(ESCAPES.get(c) or (chr(c) if 32 <= c < 127 else f"\\{c:03o}") for c in line) + '\\n"'


def main():
    prefix, output, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(output, "w", encoding="ascii") as out:
        for path in files:
            name = re.sub("[^a-z0-9]", "_", os.path.basename(path))
            with open(path, "rb") as f:
                lines = f.read().splitlines()
            out.write(f"static const char {prefix}_{name}[] =\n")
            out.write("\n".join("\t" + literal(line) for line in lines) + ";\n")


if __name__ == "__main__":
    main()
