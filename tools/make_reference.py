#!/usr/bin/python3
"""The reference of all commands, shell/COMMANDS.md, from the command tables: those that every build has as the router's
process tells them (`show commands | json`), and those of the bare machine out of kernel/show_machine.c.

    make_reference.py PROCESS > shell/COMMANDS.md
"""
import json
import re
import subprocess
import sys
from pathlib import Path

MACHINE = Path(__file__).resolve().parent.parent / "kernel/show_machine.c"
KINDS = {"statement": "Statements, which are the configuration", "show": "Shows", "action": "Actions",
         "session": "The session"}
LIMIT_S = 20
HEAD = """# Commands

Made from the command tables by `make reference`; do not edit. `{a|b}` is a choice, `[a]` may be left out, `[a]*` may
come more than once, `<name:KIND>` is a value. Each word may be cut short; a statement is taken back by `no`.
"""


def of_process(program):
    """The console is its standard input and output."""
    answer = subprocess.run([program], input="show commands | json\nhalt\n", capture_output=True, text=True, check=True,
                            timeout=LIMIT_S).stdout
    return json.loads(re.search(r"^\{.*\}\s*$", answer, re.MULTILINE).group())["commands"]


def of_machine():
    entries = re.findall(r"\{ (\.grammar = .*?) \}", MACHINE.read_text(), re.DOTALL)
    for entry in entries:
        field = dict(re.findall(r'\.(grammar|help) = "([^"]*)"', entry))
        word = dict(re.findall(r"\.(kind|role) = (?:COMMAND|ROLE)_(\w+)", entry))
        yield {**field, "kind": word["kind"].lower(), "role": word.get("role", "VIEW").lower()}


def main():
    commands = of_process(sys.argv[1])
    print(HEAD.rstrip())
    machine = [command for command in of_machine() if command not in commands]
    for kind, title in KINDS.items():
        print(f"\n## {title}\n\n| command | role | what |\n|---|---|---|")
        for command in commands + machine:
            if command["kind"] != kind:
                continue
            where = " (not as a process)" if command in machine else ""
            words = [command["grammar"], command["role"], command["help"]]
            grammar, role, words = [word.replace("|", "\\|") for word in words]
            print(f"| `{grammar}` | {role} | {words}{where} |")


if __name__ == "__main__":
    main()
