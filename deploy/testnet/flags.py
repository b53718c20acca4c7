"""Flags of the relays, from the consensus, and what the authorities' votes say about a missing one."""
import base64
import re
import time
import space
from torrc import ENOUGH_BW, ENOUGH_S
from nodes import AUTHORITIES, BY_NAME, DIR_PORT, RELAYS, say


class Entry:
    """One relay in a consensus or vote."""

    def __init__(self, r_line):
        f = r_line.split()
        self.nickname, self.fingerprint = f[1], base64.b64decode(f[2] + "=").hex().upper()
        self.flags, self.bandwidth, self.stats, self.v6 = set(), 0, {}, None


def http(net, path, authority=None):
    """A directory document from an authority's DirPort, or None."""
    for a in [authority] if authority else AUTHORITIES:
        out = space.run(*space.inside(net, "lan", "curl", "-sf", "-m", "5", f"http://{a.v4}:{DIR_PORT}{path}"),
                        check=False)
        if out:
            return out
    return None


def _pairs(words):
    return dict(w.split("=", 1) for w in words if "=" in w)


def parse(document):
    """(header dict of single lines, list of Entry) of a consensus or vote."""
    head, entries = {}, []
    for line in document.splitlines():
        word, _, rest = line.partition(" ")
        if word == "r":
            entries.append(Entry(line))
        elif not entries:
            head.setdefault(word, rest)
        elif word == "s":
            entries[-1].flags = set(rest.split())
        elif word == "w":
            entries[-1].bandwidth = int(_pairs(rest.split()).get("Bandwidth", 0))
        elif word == "a":
            entries[-1].v6 = rest
        elif word == "stats":
            entries[-1].stats = _pairs(rest.split())
        elif word == "directory-footer":
            break
    return head, entries


def consensus(net):
    document = http(net, "/tor/status-vote/current/consensus")
    return parse(document) if document else ({}, [])


def of_node(net, node, entries):
    fp = net.fingerprint(node)
    return next((e for e in entries if e.fingerprint == fp), None)


def slot_flags(net):
    e = of_node(net, BY_NAME["slot"], consensus(net)[1])
    return e.flags if e else set()


def descriptor(net, fp):
    """What the relay says of itself: (advertised bandwidth in B/s, uptime in s with its age added), or None."""
    document = http(net, f"/tor/server/fp/{fp}")
    if not document:
        return None
    bw = min(int(x) for x in re.search(r"^bandwidth (\d+) (\d+) (\d+)", document, re.M).groups())
    up = int(re.search(r"^uptime (\d+)", document, re.M).group(1))
    published = re.search(r"^published (.+)$", document, re.M).group(1)
    age = time.time() - time.mktime(time.strptime(published, "%Y-%m-%d %H:%M:%S")) + time.timezone
    return bw, up + int(age)


# Flag, what it stands on in one authority's vote: (text, have, need). fast-speed and guard-bw are in B/s here.
def _grounds(flag, entry, desc, head):
    t = _pairs(head.get("flag-thresholds", "").split())
    bw, uptime = desc
    guard_bw = min(ENOUGH_BW, int(t.get("guard-bw-inc-exits", 0)), int(t.get("guard-bw-exc-exits", 0)))
    return {
        "Fast": [("bandwidth B/s", bw, int(t.get("fast-speed", 0)))],
        "Stable": [("uptime s", uptime, min(ENOUGH_S, int(t.get("stable-uptime", 0))))],
        "Guard": [("bandwidth B/s", bw, guard_bw),
                  ("WFU %", 100 * float(entry.stats.get("wfu", 0)), float(t.get("guard-wfu", "0%").rstrip("%"))),
                  ("time known s", int(entry.stats.get("tk", 0)), int(t.get("guard-tk", 0))),
                  ("has Fast", "Fast" in entry.flags, True), ("has Stable", "Stable" in entry.flags, True),
                  ("has V2Dir", "V2Dir" in entry.flags, True)],
        "HSDir": [("uptime s", uptime, ENOUGH_S), ("has Stable", "Stable" in entry.flags, True)],
        "Running": [("reached by this authority on every ORPort", "Running" in entry.flags, True)],
    }.get(flag, [])


def explain(net, node, wanted):
    """Lines telling, authority by authority, which threshold keeps a wanted flag away."""
    fp = net.fingerprint(node)
    if not fp:
        return ["it has not made a fingerprint yet: look at its log"]
    desc = descriptor(net, fp)
    if not desc:
        return ["no authority has a descriptor of it: it has not published, or was refused (see the logs of a1 a2 a3)"]
    lines = []
    for a in AUTHORITIES:
        document = http(net, "/tor/status-vote/current/authority", a)
        if not document:
            lines.append(f"{a.name}: has no vote yet")
            continue
        head, entries = parse(document)
        e = of_node(net, node, entries)
        if not e:
            lines.append(f"{a.name}: does not list it")
            continue
        for flag in wanted:
            if flag in e.flags:
                continue
            low = [f"{text} {have} < {need}" for text, have, need in _grounds(flag, e, desc, head) if have < need]
            lines.append(f"{a.name}: no {flag}: " + ("; ".join(low) or "no threshold known here"))
    return lines


ORDER = ["Running", "Valid", "Fast", "Stable", "V2Dir", "HSDir", "Exit", "Guard", "Authority"]


def status(net):
    """Prints one line a relay, and the reasons for what the slot's relay lacks."""
    head, entries = consensus(net)
    if not entries:
        say("no consensus yet")
        return
    say(f"consensus valid-after {head.get('valid-after')}, {len(entries)} relays")
    for node in RELAYS:
        e = of_node(net, node, entries)
        if not e:
            say(f"  {node.name:5} {net.nickname(node):8} not in the consensus")
            continue
        flags = [f for f in ORDER if f in e.flags] + sorted(e.flags - set(ORDER))
        say(f"  {node.name:5} {e.nickname:8} {e.bandwidth:7} KB/s {'v4+v6' if e.v6 else 'v4   '} {' '.join(flags)}")
    if net.slot_kind == "none":
        return
    e = of_node(net, BY_NAME["slot"], entries)
    # HSDir is a relay's own offer; who does not make it lacks nothing.
    wanted = [f for f in ORDER[:-1] if f != "HSDir" and (not e or f not in e.flags)]
    for line in explain(net, BY_NAME["slot"], wanted) if wanted else []:
        say("  slot lacks flags, " + line)


def wait(net, wanted, limit_s, alive=lambda: True):
    """Waits until the slot's relay has all wanted flags; shows each that comes. Returns True, or False with reasons."""
    wanted, seen, began, last = list(wanted), set(), time.monotonic(), 0
    while True:
        now = slot_flags(net) & set(wanted)
        took_s = time.monotonic() - began
        for flag in [f for f in wanted if f in now - seen]:
            say(f"flags: {flag:8} after {took_s:3.0f} s")
            last = took_s
        for flag in seen - now:
            say(f"flags: {flag:8} lost at {took_s:3.0f} s")
        seen = now
        if seen >= set(wanted):
            return True
        if took_s > limit_s or not alive():
            say(f"flags: missing after {took_s:.0f} s: {' '.join(f for f in wanted if f not in seen)}")
            for line in explain(net, BY_NAME["slot"], [f for f in wanted if f not in seen]):
                say("flags:   " + line)
            return False
        if took_s - last >= 30:
            say(f"flags: {took_s:3.0f} s, still waiting for {' '.join(f for f in wanted if f not in seen)}")
            last = took_s
        time.sleep(2)
