"""Defences that are off unless the torrc says so: who connects, makes circuits, opens streams or fills queues too often.

Each row here is asked of relays that were started with the options of its torrc, from an address that nobody used before: what
it did is remembered until they end.
"""
import collections
import contextlib
import os
import select
import signal
import socket
import struct
import threading
import time
import process
import torlink as t
from nodes import BY_NAME, ECHO_PORT
from probes.frame import cell_probe, collect, row, sending, told
from torlink import Closed

CIRCUITS = """
DoSCircuitCreationEnabled 1
DoSCircuitCreationMinConnections 2
DoSCircuitCreationRate 1
DoSCircuitCreationBurst 10
"""
CONNECTIONS = """
DoSConnectionEnabled 1
DoSConnectionMaxConcurrentCount 4
DoSConnectionConnectRate 1
DoSConnectionConnectBurst 8
DoSConnectionConnectDefenseTimePeriod 10
"""
STREAMS = """
DoSStreamCreationEnabled 1
DoSStreamCreationRate 1
DoSStreamCreationBurst 5
"""
ALL = CIRCUITS + CONNECTIONS + STREAMS
# Each refuses in one of the two, and in the other sees, counts and does nothing; but too many streams are refused in one and
# close the circuit in the other.
FIRST = ALL + """
DoSConnectionDefenseType 1
DoSRefuseSingleHopClientRendezvous 1
"""
SECOND = ALL + """
DoSCircuitCreationDefenseType 1
DoSStreamCreationDefenseType 3
"""


def counted(things):
    """As text: how often each came, whatever the order."""
    return ", ".join(f"{n} {what}" for what, n in sorted(collections.Counter(map(str, things)).items())) or "silence"


# ---- circuits (X1, X5) ----


def flood(link, n, cmd, body):
    """Asks for n circuits at once; the answers."""
    ids = range(link.next_id, link.next_id + n)
    link.next_id += n
    link.send_raw(b"".join(t.pack(i, cmd, body(), link.wide) for i in ids))
    seen = []
    with contextlib.suppress(t.Silence):
        while len(seen) < n:
            cell = link.recv(3)
            seen += [cell] if cell.circ in ids else []
    return seen


def fast_flood(link, n=15):
    return flood(link, n, t.CREATE_FAST, lambda: os.urandom(20))


def one_more(link):
    return counted(fast_flood(link, 1))


def pair(w):
    """Two links of a stranger, as many as it takes to be watched."""
    source = w.stranger()
    return w.link(source=source), w.link(source=source), source


@row(torrc=FIRST)
def circuit_flood(w):
    one, other, _ = pair(w)
    with one, other:
        return f"{counted(fast_flood(one))}; then {one_more(one)}"


@row(torrc=FIRST)
def circuit_flood_by_create2(w):
    one, other, _ = pair(w)

    def skin():
        return struct.pack("!HH", t.NTOR, 84) + t.Ntor(w.target).skin
    with one, other:
        return counted(flood(one, 15, t.CREATE2, skin))


@row(torrc=FIRST)
def circuit_flood_over_one_connection(w):
    with w.link(source=w.stranger()) as link:
        return counted(fast_flood(link))


@row(torrc=FIRST)
def circuit_flood_elsewhere(w):
    """Whose circuits are refused over one link has them refused over all, and keeps those he has; others are not meant."""
    one, other, source = pair(w)
    with one, other:
        circ = w.fast(one)
        fast_flood(other)
        circ.send(t.BEGIN_DIR, 1)
        old = told(collect(circ, 1, 0.3))
        with w.link(source=source) as third, w.link(source=w.stranger()) as stranger:
            return f"old {old}, of a new link {one_more(third)}, of another address {one_more(stranger)}"


@row(torrc=FIRST)
def circuit_flood_of_a_relay(w):
    """Over a relay's link as many as it likes."""
    first = w.helper
    with w.link_to(first) as link:
        circs = [link.circuit(first).create_fast() for _ in range(15)]
        return counted(type(c.extend(w.target)).__name__ for c in circs)


@row(torrc=FIRST, designed=("neighbour 1 DESTROY(5)", "an IPv6 address stands for its /64", "neighbour 1 CREATED_FAST"))
def circuit_flood_of_an_ipv6_neighbour(w):
    source = w.stranger(v6=True)
    with w.link(source=source) as one, w.link(source=source):
        fast_flood(one)
        with w.link(source=w.stranger(v6=True)) as other:
            return f"self {one_more(one)}, neighbour {one_more(other)}"


@row(torrc=SECOND)
def circuit_flood_counted(w):
    one, other, _ = pair(w)
    with one, other:
        return counted(fast_flood(one))


class Halted:
    """r1 stands still while anybody needs that: both relays are asked at once."""
    lock, users, pid = threading.Lock(), 0, None

    def __init__(self, net):
        self.net = net

    def __enter__(self):
        with Halted.lock:
            Halted.users += 1
            if Halted.users == 1:
                Halted.pid = process.pid_of(self.net, "r1")
                os.kill(Halted.pid, signal.SIGSTOP)

    def __exit__(self, *exc):
        with Halted.lock:
            Halted.users -= 1
            if not Halted.users:
                os.kill(Halted.pid, signal.SIGCONT)


@row(torrc=FIRST)
def circuit_queues_pushed_full(w):
    """Three circuits whose next hop takes nothing, and cells for it: the third marks the address."""
    with w.link(source=w.stranger()) as link:
        circs = [link.circuit(w.target).create_ntor().extend(w.relays["r1"]) for _ in range(3)]
        with Halted(w.net):
            ends = []
            for c in circs:
                junk = t.pack(c.id, t.RELAY, os.urandom(t.BODY_LEN), link.wide)
                for _ in range(30):
                    link.send_raw(junk * 200)
                    if select.select([link.sock.sock], [], [], 0.02)[0]:
                        break
                ends.append(c.recv(10))
        return f"{counted(ends)}; then {one_more(link)}"


# ---- connections (X2, X3) ----


class Taken:
    """A TCP connection and no more: whether it stays."""

    def __init__(self, w, source):
        self.sock = t.socket_in(w.net, "c1", socket.AF_INET)
        self.sock.bind((source, 0))
        self.sock.settimeout(5)
        self.how = ""
        try:
            self.sock.connect((w.target.v4, w.target.port))
        except ConnectionError:
            self.how = "reset"

    def state(self, wait_s=0.0):
        if not self.how and select.select([self.sock], [], [], wait_s)[0]:
            try:
                self.how = "closed" if not self.sock.recv(1) else "data"
            except ConnectionError:
                self.how = "reset"
        return self.how or "open"

    def refused(self, wait_s=0.0):
        return "refused" if self.state(wait_s) in ("closed", "reset") else self.how or "open"

    def close(self):
        self.sock.close()


def crowd(w, source, n):
    """n connections of one address that stay; what becomes of each."""
    conns = [Taken(w, source) for _ in range(n)]
    time.sleep(0.3)
    return conns, " ".join(c.refused() for c in conns)


@row(torrc=SECOND)
def connection_crowd(w):
    source = w.stranger()
    conns, seen = crowd(w, source, 7)
    for c in conns[:2]:
        c.close()
    time.sleep(0.5)
    late = Taken(w, source)
    with w.link(source=w.stranger()) as stranger:
        seen += f", when two have left {late.refused(0.3)}, of another address {one_more(stranger)}"
    for c in conns[2:] + [late]:
        c.close()
    return seen


@row(torrc=SECOND, designed=("reset", "refused by the dataplane, before TLS and without a descriptor", "closed"))
def connection_crowd_is_told(w):
    conns, _ = crowd(w, w.stranger(), 7)
    seen = conns[-1].state()
    for c in conns:
        c.close()
    return seen


@row(torrc=FIRST)
def connection_crowd_counted(w):
    conns, seen = crowd(w, w.stranger(), 7)
    for c in conns:
        c.close()
    return seen


def haste(w, source):
    """Twelve connections behind each other, none of which stays."""
    seen = []
    for _ in range(12):
        c = Taken(w, source)
        seen.append(c.refused(0.005))
        c.close()
    return counted(seen)


@row(torrc=SECOND)
def connection_haste(w):
    source = w.stranger()
    seen = haste(w, source)
    late = Taken(w, source).refused(0.3)
    time.sleep(17)  # ten seconds, and at most half of that besides
    return f"{seen}, then {late}, when it is forgiven {Taken(w, source).refused(0.3)}"


@row(torrc=SECOND)
def connection_haste_leaves_links_alone(w):
    source = w.stranger()
    with w.link(source=source) as link:
        haste(w, source)
        return one_more(link)


@row(torrc=FIRST)
def connection_haste_counted(w):
    return haste(w, w.stranger())


# ---- streams (X4, E14) ----


def streams(w, *sends):
    link, circ = w.edge()
    with link:
        for s in sends:
            s(circ)
        return counted(told([m]) if isinstance(m, t.Message) and m.cmd in (t.END, t.RESOLVED) else m
                       for m in alike(collect(circ, 3, 0.7)))


def alike(things):
    """Without the numbers of the streams."""
    for m in things:
        if isinstance(m, t.Message):
            m.stream = 0
        yield m


def begins(n, first=1):
    text = f"{BY_NAME['dest'].v4}:{ECHO_PORT}".encode() + b"\0"
    return lambda c: [c.send(t.BEGIN, first + i, text) for i in range(n)]


def resolves(n, first=101):
    return lambda c: [c.send(t.RESOLVE, first + i, b"v4.dest.test\0") for i in range(n)]


def begin_dirs(n, first=201):
    return lambda c: [c.send(t.BEGIN_DIR, first + i) for i in range(n)]


@row(torrc=FIRST)
def stream_flood(w):
    return streams(w, begins(9))


@row(torrc=FIRST)
def stream_flood_of_look_ups(w):
    return streams(w, resolves(9))


@row(torrc=FIRST)
def stream_flood_of_both(w):
    return streams(w, resolves(4), begins(4))


@row(torrc=FIRST)
def stream_flood_of_directory_streams(w):
    return streams(w, begin_dirs(9), begins(2))


@row(torrc=FIRST)
def stream_flood_is_a_circuits_own(w):
    """The bucket is the circuit's: another has its own. It fills again by the second."""
    link, circ = w.edge()
    with link:
        begins(9)(circ)
        collect(circ, 3, 0.5)
        time.sleep(2.2)
        begins(1, 50)(circ)
        again = told(collect(circ, 2, 0.3), False)
    return f"after two seconds {again}; another circuit: {streams(w, begins(5))}"


def too_many(w, ask):
    """As many as may be, and when all are answered some more: what the circuit ends with."""
    link, circ = w.edge()
    with link:
        ask(5)(circ)
        before = [circ.recv() for _ in range(5)]
        ask(3, 50)(circ)
        return f"{counted(map(str, before))}; at last {collect(circ, 3, 0.5)[-1]}"


@row(torrc=SECOND)
def stream_flood_closes(w):
    return too_many(w, begins)


@row(torrc=SECOND)
def stream_flood_of_look_ups_closes(w):
    return too_many(w, resolves)


# ---- rendezvous (X6) ----


@row(torrc=FIRST)
def rendezvous_establish_refused_on_a_client_link(w):
    return cell_probe(w, sending(t.ESTABLISH_RENDEZVOUS, 0, os.urandom(20)), first_s=1)


@row(torrc=FIRST)
def rendezvous_establish_behind_a_relay(w):
    link, circ = w.edge()
    with link:
        circ.send(t.ESTABLISH_RENDEZVOUS, 0, os.urandom(20))
        return told(collect(circ, 3, 0.3))


# ---- a circuit that serves nothing (C16) ----


def silent(w, act, limit_s=80):
    """What becomes of a circuit of one hop over a link where nothing else happens."""
    with w.link() as link:
        circ = w.fast(link)
        act(circ)
        began = time.monotonic()
        while True:
            try:
                thing = circ.recv(began + limit_s - time.monotonic())
            except t.Silence:
                return f"silence; then {one_more(link)}"
            except Closed as e:
                return f"{e}"
            if str(thing) not in ("PADDING", "VPADDING"):
                took_s = time.monotonic() - began
                return f"{thing} {'at once' if took_s < 20 else 'after a while'}; then {one_more(link)}"


@row
def silent_circuit_of_one_hop(w):
    return silent(w, lambda c: None)


@row
def silent_circuit_with_a_stream(w):
    def act(c):
        c.send(t.BEGIN_DIR, 1)
        c.expect(t.CONNECTED)
    return silent(w, act)
