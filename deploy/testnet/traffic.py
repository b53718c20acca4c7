"""Downloads and uploads with the slot's relay in a chosen position: the path proven, the bytes verified."""
import secrets
import time
import control
import socks
from nodes import BY_NAME, HTTP_PORT, say

SLOT = BY_NAME["slot"]
# position: (entry, middle, exit, name that the destination is asked by, is the exit's address IPv6)
POSITIONS = {
    "guard": ("slot", "r1", "x1", "v4.dest.test", False),
    "middle": ("r1", "slot", "x1", "v4.dest.test", False),
    "exit": ("r1", "r2", "slot", "v4.dest.test", False),
    "exit6": ("r1", "r2", "slot", "v6.dest.test", True),
    # A stock exit in the slot's place, to be compared with (suite far).
    "stock-exit": ("r1", "r2", "x1", "v4.dest.test", False),
    # Both slots on one path; only the suite pair asks for these.
    "pair": ("slot", "slot2", "x1", "v4.dest.test", False),
    "pair-back": ("slot2", "slot", "x1", "v4.dest.test", False),
    "pair-exit": ("r1", "slot2", "slot", "v4.dest.test", False),
    "any": (None, None, None, "dest.test", None),
}


class Failed(RuntimeError):
    pass


def size(text):
    """'64M' -> bytes; K, M and G are binary."""
    unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1].upper())
    return int(text[:-1]) * unit if unit else int(text)


class Progress:
    """A line every few seconds, so that a long transfer is seen to move."""

    def __init__(self, label, n):
        self.label, self.n, self.last = label, n, time.monotonic()

    def __call__(self, done):
        if time.monotonic() - self.last >= 5:
            self.last = time.monotonic()
            say(f"{self.label}: {done >> 20} of {self.n >> 20} MiB")


def _pins(net, position):
    names = POSITIONS[position][:3]
    if not names[0]:
        return {}
    # One path only: a conflux leg would lead bytes past the relay under test.
    pins = {"ConfluxEnabled": "0", "StrictNodes": "1"}
    for option, name in zip(("EntryNodes", "MiddleNodes", "ExitNodes"), names):
        fp = net.fingerprint(BY_NAME[name])
        if not fp:
            raise Failed(f"{name} has no fingerprint yet: does it run?")
        pins[option] = fp
    return pins


class Line:
    """Streams of one pinned client; use as a context manager."""

    def __init__(self, net, position, how="nodes", client="c1"):
        self.net, self.position, self.how, self.client = net, position, how, client
        self.host = POSITIONS[position][3]

    def __enter__(self):
        self._open = control.open_node(self.net, self.client)
        self.c = self._open.__enter__()
        pins = _pins(self.net, self.position)
        options = pins if self.how == "nodes" else {"ConfluxEnabled": "0"}
        self._pin = control.pinned(self.net, self.c, options) if pins else None
        try:
            if self._pin:
                self._pin.__enter__()
            self._attach = None
            if pins and self.how == "extend":
                self._attach = control.attached(self.c, [pins[o] for o in ("EntryNodes", "MiddleNodes", "ExitNodes")])
                self.circuit = self._attach.__enter__()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *exc):
        for part in (self.__dict__.get("_attach"), self.__dict__.get("_pin"), self._open):
            if part:
                part.__exit__(None, None, None)
        return False

    def stream(self, port=HTTP_PORT, host=None, username=None, timeout_s=120, retry_s=60):
        """A stream to the destination and the username that isolates it. Right after a change of pins a client may
        lack a guard for a moment, so a refusal is tried again until retry_s have gone."""
        limit = time.monotonic() + retry_s
        while True:
            user = username or secrets.token_hex(6)
            try:
                return socks.connect(self.net.path(self.client, "socks"), host or self.host, port, user, timeout_s), user
            except (socks.SocksError, ConnectionError) as e:
                if time.monotonic() > limit:
                    raise Failed(f"no stream to {host or self.host}: {e}")
                time.sleep(1)

    def path(self, username):
        """The names of the relays under a stream, by what the client's control port says."""
        for c in control.circuits(self.net, self.c):
            if c.username == username or (self.how == "extend" and c.id == self.circuit):
                return c.path
        raise Failed("the control port shows no circuit of this stream")

    def prove(self, username, headers=None):
        """Raises unless the stream went over exactly the wanted relays; returns the path."""
        path, wanted = self.path(username), list(POSITIONS[self.position][:3])
        if wanted[0] and path != wanted:
            raise Failed(f"path was {' '.join(path)}, wanted {' '.join(wanted)}")
        v6 = POSITIONS[self.position][4]
        if headers and v6 is not None:
            exit_node = BY_NAME[wanted[2]]
            peer, expected = headers.get("x-peer"), exit_node.v6 if v6 else exit_node.v4
            if peer != expected:
                raise Failed(f"the destination saw {peer}, wanted {expected}")
        return path


def expected_sha256(net, n):
    return net.read("dest", "files", f"{n}.sha256")


def download(net, line, n, label):
    """One verified, proven download: (MB/s, path)."""
    s, user = line.stream()
    with s:
        got, took_s, headers = socks.get(s, n, progress=Progress(label, n))
        path = line.prove(user, headers)
    if got != expected_sha256(net, n):
        raise Failed(f"SHA-256 is {got}, wanted {expected_sha256(net, n)}")
    return n / 1e6 / took_s, path


def show(position, rate, path, verb="verified"):
    say(f"{position:8} {verb}  {rate:6.1f} MB/s  {' > '.join(path)}")


def fetch(net, position, n, how="nodes", client="c1"):
    with Line(net, position, how, client) as line:
        rate, path = download(net, line, n, position)
    show(position, rate, path)
    return rate


def upload(net, position, n, how="nodes"):
    with Line(net, position, how) as line:
        s, user = line.stream()
        with s:
            ours, theirs, took_s = socks.put(s, n, progress=Progress(position, n))
            path = line.prove(user)
    if ours != theirs:
        raise Failed(f"the destination has SHA-256 {theirs}, sent was {ours}")
    show(position, n / 1e6 / took_s, path, "uploaded")
    return n / 1e6 / took_s
