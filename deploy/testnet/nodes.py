"""The node table of the private network: who there is, at which address, and where its files lie."""
import os
from dataclasses import dataclass

V4_NET, V4_LEN = "10.77.0", 24
V6_NET, V6_LEN = "fd77:0:0:1:", 64
GATEWAY4, GATEWAY6 = V4_NET + ".1", V6_NET + ":1"

# A slot's second leg: only its kernel uses it, to reach the resolver. The relay under test keeps its
# own addresses on its dataplane port alone. Slot: (resolver's end, its own end).
MGMT, MGMT_LEN = {"slot": ("10.78.0.1", "10.78.0.2"), "slot2": ("10.78.0.5", "10.78.0.6")}, 30
MGMT_DNS4 = MGMT["slot"][0]
SLOT_PORT = "dv0"

OR_PORT, DIR_PORT = 9001, 9030
# Services of the destination host (dest.py).
HTTP_PORT, ECHO_PORT, RESET_PORT, FIN_PORT = 80, 7, 8001, 8002
DEST_NAME = "dest.test"


@dataclass(frozen=True)
class Node:
    name: str    # also its namespace (behind the prefix) and its directory
    kind: str    # authority | relay | exit | slot | client | onion | dest | dns
    number: int  # last part of its IPv4 and IPv6 address

    @property
    def v4(self):
        return f"{V4_NET}.{self.number}"

    @property
    def v6(self):
        return f"{V6_NET}:{self.number}"

    @property
    def is_tor(self):
        return self.kind not in ("dest", "dns")

    @property
    def is_relay(self):
        return self.kind in ("authority", "relay", "exit", "slot")


NODES = [
    Node("a1", "authority", 11), Node("a2", "authority", 12), Node("a3", "authority", 13),
    Node("r1", "relay", 21), Node("r2", "relay", 22),
    Node("x1", "exit", 31), Node("x2", "exit", 32),
    Node("slot", "slot", 41),
    Node("slot2", "slot", 42),   # a second relay under test, beside the first: empty until somebody asks for it
    Node("c1", "client", 51),    # pinned by the commands, through its control port
    Node("c2", "client", 52),    # never pinned: chooses paths as any stock client does
    Node("onion", "onion", 61),
    Node("dest", "dest", 71), Node("dns", "dns", 72),
]
BY_NAME = {n.name: n for n in NODES}
AUTHORITIES = [n for n in NODES if n.kind == "authority"]
SLOT, SLOT2 = BY_NAME["slot"], BY_NAME["slot2"]
RELAYS = [n for n in NODES if n.is_relay and n is not SLOT2]  # who is always there


class Net:
    """One network: its namespace prefix and its directory. All files lie below `dir`."""

    def __init__(self, prefix="rn-", directory=None):
        self.prefix = prefix
        default = "/var/lib/ramson-testnet"
        if prefix != "rn-":
            default += "-" + prefix.rstrip("-")
        self.dir = os.path.abspath(directory or default)

    def ns(self, name):
        return self.prefix + name

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def data(self, node):
        """The DataDirectory of a node; its torrc, log and control socket stand beside it."""
        return self.path(node.name, "data")

    def read(self, *parts):
        """A file of the network as stripped text, or None if it is not there."""
        try:
            with open(self.path(*parts)) as f:
                return f.read().strip()
        except FileNotFoundError:
            return None

    def write(self, text, *parts):
        path = self.path(*parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)

    def kind_of(self, node):
        """What runs in a slot: tor, ramson or none."""
        return self.read(node.name + ".kind") or "none"

    @property
    def slot_kind(self):
        return self.kind_of(SLOT)

    def nickname(self, node):
        if node.kind != "slot":
            return node.name
        return ("ramson" if self.kind_of(node) == "ramson" else "oracle") + node.name.removeprefix("slot")

    def fingerprint(self, node):
        """RSA identity of a relay as 40 hex digits, or None before its first start."""
        text = self.read(node.name, "data", "fingerprint")
        return text.split(None, 1)[1].replace(" ", "") if text else None


def say(text):
    print(text, flush=True)
