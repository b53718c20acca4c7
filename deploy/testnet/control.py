"""Control-port access to the stock clients, and what their circuits and streams say about paths."""
import contextlib
import os
import re
import threading
import time
import stem
import stem.control
from nodes import NODES


@contextlib.contextmanager
def open_node(net, name):
    """A stem Controller of one of the network's tor processes."""
    limit = time.monotonic() + 10
    while True:
        try:
            c = stem.control.Controller.from_socket_file(net.path(name, "control"))
            break
        except stem.SocketError as e:
            if time.monotonic() > limit:
                raise RuntimeError(f"control socket of {name}: {e}")
            time.sleep(0.2)
    with c:
        c.authenticate()
        yield c


class Told:
    """What a client logs at level info while this is open."""

    def __init__(self, net, client):
        self.path = net.path(client, "told.log")
        self.usual = f"notice file {net.path(client, 'tor.log')}"
        self.net, self.client = net, client

    def _log(self, *lines):
        with open_node(self.net, self.client) as c:
            c.set_options([("Log", line) for line in lines])

    def __enter__(self):
        self._log(self.usual, f"info file {self.path}")
        self.at = os.path.getsize(self.path)
        return self

    def __exit__(self, *exc):
        self._log(self.usual)
        return False

    def lines(self, pattern):
        with open(self.path, errors="replace") as f:
            f.seek(self.at)
            return [line for line in f if re.search(pattern, line)]


def names_of(net, fingerprints):
    """Node names for fingerprints, '?' for a stranger."""
    by_fp = {net.fingerprint(n): n.name for n in NODES if n.is_relay}
    return [by_fp.get(fp, "?") for fp in fingerprints]


class Circuit:
    """A line of circuit-status."""

    def __init__(self, net, line):
        words = line.split()
        self.id, self.state = words[0], words[1]
        path = words[2] if len(words) > 2 and words[2].startswith("$") else ""
        self.path = names_of(net, re.findall(r"\$([0-9A-F]{40})", path))
        self.purpose = (re.findall(r"PURPOSE=(\S+)", line) or [""])[0]
        self.hs_state = (re.findall(r"HS_STATE=(\S+)", line) or [""])[0]
        self.username = (re.findall(r'SOCKS_USERNAME="([^"]*)"', line) or [""])[0]


def circuits(net, c):
    return [Circuit(net, line) for line in c.get_info("circuit-status").splitlines() if line.strip()]


def forget_circuits(net, c):
    """Closes every circuit, so that the next stream must build one by the options of now."""
    for circuit in circuits(net, c):
        with contextlib.suppress(stem.ControllerError):
            c.close_circuit(circuit.id)


PIN_OPTIONS = ("EntryNodes", "MiddleNodes", "ExitNodes", "ExcludeNodes", "HSLayer2Nodes", "StrictNodes",
               "ConfluxEnabled", "__LeaveStreamsUnattached")


@contextlib.contextmanager
def pinned(net, c, options):
    """Sets path options, with fresh guards and no old circuit; takes them back at the end."""
    c.reset_conf(*PIN_OPTIONS)
    c.set_options(options)
    c.msg("DROPGUARDS")
    forget_circuits(net, c)
    try:
        yield
    finally:
        with contextlib.suppress(stem.ControllerError):
            c.reset_conf(*PIN_OPTIONS)
            forget_circuits(net, c)


def _build(c, fingerprints, limit_s):
    """One circuit over exactly these relays: its id once it is built. Raises with tor's reason."""
    states, done = {}, threading.Event()

    def on_circuit(event):
        if event.status in ("BUILT", "FAILED", "CLOSED"):
            states.setdefault(event.id, f"{event.status} {event.reason or ''} {event.remote_reason or ''}".strip())
            done.set()

    c.add_event_listener(on_circuit, stem.control.EventType.CIRC)
    try:
        circ_id = c.new_circuit(fingerprints)
        limit = time.monotonic() + limit_s
        while circ_id not in states:
            if time.monotonic() > limit:
                raise RuntimeError(f"circuit {circ_id} was not built within {limit_s} s")
            done.wait(0.2)
            done.clear()
    finally:
        c.remove_event_listener(on_circuit)
    if not states[circ_id].startswith("BUILT"):
        raise RuntimeError(f"circuit {circ_id}: {states[circ_id]}")
    return circ_id


@contextlib.contextmanager
def attached(c, fingerprints, limit_s=40, n_tries=3):
    """Builds one circuit over exactly these relays and attaches every new stream to it."""
    c.set_options({"__LeaveStreamsUnattached": "1"})
    for attempt in range(1, n_tries + 1):
        try:
            circ_id = _build(c, fingerprints, limit_s)
            break
        except RuntimeError:
            if attempt == n_tries:
                raise
            time.sleep(1)

    def on_stream(event):
        # DETACHED: the client has waited 10 s for an answer. Left alone it would end as "TTL expired" after 120 s.
        if event.status in ("NEW", "DETACHED"):
            with contextlib.suppress(stem.ControllerError):
                c.attach_stream(event.id, circ_id)

    c.add_event_listener(on_stream, stem.control.EventType.STREAM)
    try:
        yield circ_id
    finally:
        c.remove_event_listener(on_stream)
