"""Frame of the probes: who is asked, how an answer is told, and the list of rows."""
import struct
import threading
import time
from dataclasses import dataclass
import space
import torlink as t
from nodes import V4_LEN, V4_NET, V6_LEN, V6_NET
from torlink import Closed, Link, Refused, Silence

ROWS = []


@dataclass
class Row:
    name: str
    probe: object
    designed: tuple
    needs: str
    torrc: str


def row(function=None, designed=None, needs=None, torrc=""):
    """Registers a probe. designed: (what Ramson answers, why) where it differs from tor on purpose; with a third item, what
    tor must have answered. needs: the word of the proto line that promises what is probed; a relay without it is not
    asked. torrc: options that both relays are started with for this row."""
    def add(f):
        ROWS.append(Row(f.__name__.replace("_", "-"), f, designed, needs, torrc))
        return f
    return add(function) if function else add


def promises(proto, word):
    """Does a proto line have this word, "Relay=6"?"""
    name, number = word.split("=")
    for have in proto.split():
        if have.startswith(name + "="):
            for part in have.split("=")[1].split(","):
                low, _, high = part.partition("-")
                if int(low) <= int(number) <= int(high or low):
                    return True
    return False


FIRST_STRANGER = 99  # behind all nodes


class World:
    """What a probe needs: the target, and stock relays around it."""

    def __init__(self, net, relays, target, helper, onward):
        self.net, self.relays = net, relays
        self.target, self.helper, self.onward = relays[target], relays[helper], relays[onward]
        self.lock, self.n_strangers = threading.Lock(), 0

    def raw(self, **how):
        return Link.open(self.net, "c1", self.target, **how)

    def link(self, **how):
        """An open client link to the target."""
        return self.raw(**how).handshake()

    def link_to(self, relay):
        return Link.open(self.net, "c1", relay).handshake()

    def stranger(self, v6=False):
        """An address of the client's that the target has not heard of since it was started."""
        with self.lock:
            self.n_strangers += 1
            number = FIRST_STRANGER + self.n_strangers
        assert number < 255, "no address is left"
        address, length = (f"{V6_NET}:{number}", V6_LEN) if v6 else (f"{V4_NET}.{number}", V4_LEN)
        space.run("ip", "-n", self.net.ns("c1"), "addr", "replace", f"{address}/{length}", "dev", "eth0",
                  *["nodad"] * v6)
        return address

    def fast(self, link):
        return link.circuit(self.target).create_fast()

    def edge(self, message=None, over=None):
        """A circuit of two hops whose last is the target: its previous hop is a known relay. message: of the ntor v3
        handshake with the target; without it ntor is spoken. over: another first hop."""
        first = self.relays[over] if over else self.helper
        link = Link.open(self.net, "c1", first).handshake()
        circ = link.circuit(first).create_ntor()
        return link, circ.extend(self.target, t.Ntor3(self.target, message) if message else None)


def after(link, settle_s=0.3, first_s=0):
    """What came, and whether the link still answers a CREATE_FAST."""
    seen = link.observe(settle_s, first_s, skip=("PADDING", "VPADDING"))
    if seen.endswith("EOF"):
        return seen
    try:
        link.circuit().create_fast()
        return seen + " | link works"
    except (Closed, Silence, Refused) as e:
        return seen + f" | link: {type(e).__name__} {e}"


def cell_probe(w, *cells, settle_s=0.3, first_s=0):
    """cells: functions that take a fresh one-hop circuit and send something."""
    with w.link() as link:
        circ = w.fast(link)
        for c in cells:
            c(circ)
        return after(link, settle_s, first_s)


def sending(*args, **how):
    return lambda c: c.send(*args, **how)


def collect(circ, first_s=3, settle_s=0.5, limit_s=20):
    """What comes on a circuit until it is quiet."""
    seen, wait_s, limit = [], first_s, time.monotonic() + limit_s
    while time.monotonic() < limit:
        try:
            seen.append(circ.recv(wait_s))
        except Silence:
            break
        except Closed:
            seen.append("EOF")
            break
        wait_s = settle_s
    return seen


def told(things, show=True):
    """As text: runs of DATA are one, bodies stand behind the rest."""
    seen = []
    for m in things:
        text = str(m)
        if show and isinstance(m, t.Message) and m.cmd != t.DATA:
            text += f"[{m.stream}:{steady(m).hex()}]"
        if not (text.startswith("DATA") and seen and seen[-1] == "DATA"):
            seen.append(text)
    return " ".join(seen) or "silence"


def stream_probe(w, *sends, first_s=3, settle_s=0.5, show=True, message=None):
    """sends: functions that take a fresh circuit of two hops, target last, and send something."""
    link, circ = w.edge(message)
    with link:
        for s in sends:
            s(circ)
        return told(collect(circ, first_s, settle_s), show)


def steady(m):
    """A body without what is drawn at random: the fuzz of a looked-up TTL."""
    ttl = struct.unpack("!I", m.body[-4:])[0] if m.cmd == t.CONNECTED and len(m.body) >= 8 else None
    if ttl is None:
        return m.body
    kind = b"-300-" if 60 <= ttl <= 540 else b"3600-" if 3360 <= ttl <= 3840 else m.body[-4:]
    return m.body[:-4] + kind


def long_probe(w, act, first_s=1, settle_s=0.4):
    """act takes a circuit of two hops, target first."""
    with w.link() as link:
        circ = link.circuit(w.target).create_ntor().extend(w.onward)
        act(circ)
        return after(link, settle_s, first_s)
