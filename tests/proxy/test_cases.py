# SPDX-License-Identifier: Apache-2.0
"""The table of cases says what is there: cases.py."""
import ast
import pathlib
import re

import pytest

from cases import CASES, place

HERE = pathlib.Path(__file__).parent
CASE = re.compile(r"\b[A-P][0-9]{2}\b")


@pytest.mark.parametrize("case", CASES)
def test_each_case_is_run_somewhere(case):
    what, where, _ = CASES[case]
    assert what and where, case
    for one in where:
        path, words = place(one)
        files = [path] if path.is_file() else sorted(path.glob("*"))
        assert any(words in f.read_text(errors="replace") for f in files if f.is_file()), one


def docstrings():
    """(file's name, test's name, cases that its first words name)"""
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield path.stem, node.name, CASE.findall((ast.get_docstring(node) or "").split(":")[0])


def test_what_tests_say_of_themselves_is_in_the_table():
    said = [(case, f"{file}::{name}") for file, name, cases in docstrings() for case in cases]
    assert len(said) > 100
    assert [one for one in said if one[0] not in CASES or one[1] not in CASES[one[0]][1]] == []
