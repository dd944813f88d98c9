"""Goal: the console is the protocol that people's scripts rely on (INTERFACE, the console as a protocol). Method: the
serial line of a router in QEMU, byte by byte."""
import json
import re

from lab import PROMPT, TREE, Lab, expect, expect_equal

CONFIG = """system name lab
ip eth0 address 10.1.0.1/24
ip eth1 address 10.2.0.1/24
ip route 192.0.2.0/24 gateway 10.2.0.2
ip route 198.51.100.0/24 blackhole
arp 10.2.0.2 02:00:00:00:00:02 eth1
"""


def test_prompt_has_the_name_and_lines_end_either_way():
    with Lab() as lab:
        router = lab.router([None, None], config=CONFIG)
        for ending in ("\r", "\n"):
            router.console.forget()
            router.console.send("show version" + ending)
            before, match = router.console.wait(PROMPT, 5, "prompt")
            expect("lab" in match.group(0), f"prompt {match.group(0)!r}")
            expect_equal(before.split("\n")[0], "show version", "echo")


def test_nothing_appears_unasked():
    with Lab() as lab:
        router = lab.router([None, None], config=CONFIG)
        router.console.forget()
        router.set_link(0, False)
        router.set_link(0, True)
        expect_equal(router.console.receive(3), "", "on the console by itself")


def test_errors_point_and_change_nothing():
    with Lab() as lab:
        router = lab.router([None, None], config=CONFIG)
        before = router.command("show configuration")
        for line, bad in (("ip eth0 adress 10.9.0.1/24", "adress"), ("interface eth0 mtu 1", "1"),
                          ("ip route 10.0.0.1/8 gateway 10.2.0.2", "10.0.0.1/8"), ("nonsense", "nonsense")):
            answer = router.command(line)
            caret, error = answer.split("\n")[-2:] if answer.count("\n") else ("", answer)
            expect(re.search(r"^error: ", answer, re.MULTILINE), f"{line!r} said:\n{answer}")
            expect("^" in answer, f"no caret under {bad!r}:\n{answer} {caret} {error}")
        expect_equal(router.command("show configuration"), before, "the configuration changed")


def test_json_answers_are_one_line_each():
    with Lab() as lab:
        router = lab.router([None, None], config=CONFIG)
        router.send("terminal format json")
        router.console.wait(PROMPT, 5, "prompt")
        good = json.loads(router.command("show ip route"))
        expect(good["ok"] is True, good)
        expect("routes" in good["data"], good)
        expect("ms" in good, good)
        bad = json.loads(router.command("show bogus"))
        expect(bad["ok"] is False, bad)
        for field in ("id", "text", "column"):
            expect(field in bad["error"], bad)
        router.command("terminal format text")


def test_documents_have_the_fields_that_rigs_read():
    fields = {
        "version": {"name", "version", "commit", "build", "platform", "uptime_s"},
        "interfaces": {"interfaces": {"name", "driver", "mac", "admin", "link", "mtu", "addresses", "queues",
                                      "rx_packets", "rx_bytes", "rx_dropped", "tx_packets", "tx_bytes", "tx_dropped"}},
        "interfaces queues": {"queues": {"interface", "queue", "core", "rx_packets", "tx_packets", "rx_ring",
                                         "tx_ring"}},
        "ip route": {"routes": {"prefix", "next_hop", "interface", "protocol", "distance", "active"}},
        "ip route summary": {"routes", "fib_bytes"},
        "arp": {"neighbors": {"address", "mac", "interface", "state", "age_s"}},
        "cores": {"cores": {"core", "role", "packets", "busy_percent", "cycles_per_packet", "batch_mean",
                            "longest_slice_us", "register_accesses"}},
        "drops all": {"drops": {"reason", "packets"}},
        "memory": {"heap", "packets", "tags"},
    }
    with Lab() as lab:
        router = lab.router([None, None], cores=2, config=CONFIG)
        for what, wanted in fields.items():
            document = router.show(what)
            if isinstance(wanted, set):
                expect(wanted <= set(document), f"show {what} lacks {wanted - set(document)}")
                continue
            for table, columns in wanted.items():
                expect(document[table], f"show {what}: no {table}")
                expect(columns <= set(document[table][0]), f"show {what} lacks {columns - set(document[table][0])}")


def test_reference_has_every_command_of_the_image():
    """make check compares it with those of the process, which has fewer."""
    rows = re.findall(r"^\| `(.*)` \| (\w+) \| (.*?)(?: \(not as a process\))? \|$",
                      (TREE / "shell/COMMANDS.md").read_text(), re.MULTILINE)
    written = {tuple(word.replace("\\|", "|") for word in row) for row in rows}
    with Lab() as lab:
        commands = lab.router([]).show("commands")["commands"]
        there = {(command["grammar"], command["role"], command["help"]) for command in commands}
        expect_equal(there ^ written, set(), "commands that are in one of them")


def test_pipes():
    with Lab() as lab:
        router = lab.router([None, None], config=CONFIG)
        whole = router.command("show configuration").split("\n")
        routes = router.command("show configuration | match ^ip.route").split("\n")
        expect_equal(routes, [line for line in whole if line.startswith("ip route")])
        expect_equal(router.command("show configuration | head 1").split("\n"), whole[:1])
        expect_equal(router.command("show configuration | last 1").split("\n"), whole[-1:])
        expect(str(len(whole)) in router.command("show configuration | count"), "count")


def test_configuration_loads_again_as_itself():
    with Lab() as lab:
        router = lab.router([None, None], config=CONFIG)
        text = router.command("show configuration")
        for line in CONFIG.splitlines():
            expect(line in text.split("\n"), f"{line!r} is not in the configuration:\n{text}")
        again = lab.router([None, None], config=text + "\n")
        expect_equal(again.command("show configuration"), text, "the configuration after another boot")


def test_question_mark_and_tab_help():
    with Lab() as lab:
        router = lab.router([None, None])
        router.console.forget()
        router.console.send("show ?")
        router.console.wait(r"interfaces", 5, "help after show")
        router.console.send("\x15sho\tver\t\r")
        router.console.wait(r"show version", 5, "completed line")
        router.console.wait(PROMPT, 5, "prompt")


def test_candidate_is_applied_by_commit_alone():
    with Lab() as lab:
        router = lab.router([None, None], config=CONFIG)
        router.command("configure")
        router.command("ip eth0 address 10.7.0.1/24")
        expect("10.7.0.1/24" not in router.interface("eth0")["addresses"], "applied before the commit")
        router.command("commit")
        router.command("end")
        expect("10.7.0.1/24" in router.interface("eth0")["addresses"], "not applied by the commit")


def test_paste_at_full_speed_loses_nothing():
    """More than all buffers on the way hold, behind a command that runs for two seconds."""
    with Lab() as lab:
        router = lab.router([None, None], config=CONFIG)
        lines = ["ping 10.1.0.1 count 3"]
        lines += [f"ip route 10.{16 + i // 256}.{i % 256}.0/24 gateway 10.2.0.2" for i in range(400)]
        lines += ["show configuration ip route 10. | count"]
        router.console.forget()
        router.console.send("".join(line + "\r" for line in lines))
        _, match = router.console.wait(r"\n(\d+)\n", 30, "count")
        expect_equal(match.group(1), "400", "routes")
