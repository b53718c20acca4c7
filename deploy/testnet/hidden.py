"""Downloads from the onion service with the slot's relay as middle, introduction or rendezvous point, proven."""
import contextlib
import secrets
import threading
import time
import stem
import stem.control
import control
import life
import socks
from nodes import NODES, SLOT, say
from traffic import Failed, Progress, expected_sha256

N_TRIES = 60
# A young service needs a while until its descriptor lies at every directory that clients ask.
PATIENCE_S = 150


def address(net, limit_s=60):
    limit = time.monotonic() + limit_s
    while True:
        name = net.read("onion", "service", "hostname")
        if name:
            return name
        if time.monotonic() > limit:
            raise Failed("the onion service has no hostname yet")
        time.sleep(0.5)


# role: (entry, second hops, who else may be on the path). Nothing in stock tor names an introduction or rendezvous point,
# so the choice is narrowed by excluding the rest, and the client tries until its control port shows the slot in the role:
# about every third time. A rendezvous point is drawn by bandwidth weight, and exits weigh nothing there as long as
# other relays are to be had; therefore only exits are left to choose from. With fewer nodes left than these, tor runs
# out of second and third hops.
ROOM = {
    "middle": (["r1"], ["slot"], None),
    "intro": (["r1"], ["r2", "x1"], ["slot"]),
    "rend": (["x1"], ["x2"], ["slot"]),
}


def _options(net, role):
    fp = {n.name: net.fingerprint(n) for n in NODES if n.is_relay}
    if not fp[SLOT.name]:
        raise Failed("the slot's relay has no fingerprint yet")
    entry, second, others = ROOM[role]
    options = {"EntryNodes": ",".join(fp[n] for n in entry), "HSLayer2Nodes": ",".join(fp[n] for n in second)}
    if others:
        excluded = [fp[n] for n in fp if fp[n] and n not in entry + second + others]
        options.update(StrictNodes="0", ExcludeNodes=",".join(excluded))
    return options


class Watch:
    """Every onion-service circuit that the client builds, also those that are gone a moment later."""

    def __init__(self, net, c):
        self.net, self.c, self.lock, self.paths = net, c, threading.Lock(), {}

    def __enter__(self):
        self.c.add_event_listener(self.note, stem.control.EventType.CIRC, stem.control.EventType.CIRC_MINOR)
        return self

    def __exit__(self, *exc):
        with contextlib.suppress(stem.ControllerError):
            self.c.remove_event_listener(self.note)

    def note(self, event):
        path = control.names_of(self.net, [fp for fp, _ in event.path or []])
        if path and event.purpose and event.purpose.startswith("HS_CLIENT"):
            with self.lock:
                self.paths[event.id] = (event.purpose, str(getattr(event, "hs_state", "")), path)

    def seen(self, purpose):
        with self.lock:
            return [(state, path) for kind, state, path in self.paths.values() if kind == purpose]


def _proof(role, watch, live):
    """The path that proves the role, or None."""
    rend = [c for c in live if c.purpose == "HS_CLIENT_REND" and c.hs_state == "HSCR_JOINED"]
    for c in rend:
        # Client side of the joined circuit: guard, (layer 2), ..., rendezvous point, then the service's half.
        if role == "rend" and SLOT.name in c.path[2:]:
            return c.path
        if role == "middle" and c.path[1:2] == [SLOT.name]:
            return c.path
    if role == "intro":
        for state, path in watch.seen("HS_CLIENT_INTRO"):
            # DONE: the service's side acknowledged; a circuit that was only tried does not count.
            if path[-1] == SLOT.name and state == "HSCI_DONE":
                return path
    return None


def _try(net, c, watch, role, host, n):
    """One connection: (MB/s, path) if the slot had the role, else None. Raises OSError if the connection fails."""
    with socks.connect(net.path("c1", "socks"), host, 80, secrets.token_hex(6), 30) as s:
        path = _proof(role, watch, control.circuits(net, c))
        if not path:
            return None
        got, took_s, _ = socks.get(s, n, host, Progress(f"onion {role}", n))
    if got != expected_sha256(net, n):
        raise Failed(f"SHA-256 is {got}, wanted {expected_sha256(net, n)}")
    return n / 1e6 / took_s, path


def fetch(net, role, n):
    """One download that had the slot in this role; says so with the path."""
    life.start_onion(net)
    host, last, limit = address(net), "", time.monotonic() + PATIENCE_S
    with control.open_node(net, "c1") as c, control.pinned(net, c, _options(net, role)):
        for attempt in range(1, N_TRIES + 1):
            with Watch(net, c) as watch:
                try:
                    result = _try(net, c, watch, role, host, n)
                    last = "the slot was not chosen"
                except OSError as e:
                    result, last = None, str(e)
                    if attempt % 5 == 1:
                        say(f"onion {role}: try {attempt}: {e}")
                    c.signal("NEWNYM")  # forgets the descriptor and which introduction points failed
                    time.sleep(3)
            if result:
                say(f"onion {role:6} verified  {result[0]:6.1f} MB/s  {' > '.join(result[1])}  (try {attempt})")
                return
            if time.monotonic() > limit:
                break
            control.forget_circuits(net, c)
    raise Failed(f"onion {role}: not within {attempt} tries ({last})")
