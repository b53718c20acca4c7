"""Namespaces and cables: one bridge namespace, one namespace a node, every leg a veth pair."""
import subprocess
from nodes import GATEWAY4, GATEWAY6, MGMT, MGMT_LEN, NODES, SLOT_PORT, V4_LEN, V4_NET, V6_LEN, V6_NET

CONGESTION = "cubic"
FAR_NODE, FAR_LAN = "node", "lan"  # the two ends of a gap in a node's leg


def run(*args, check=True):
    """Runs a command quietly; what it said goes into the exception if it fails."""
    p = subprocess.run(args, capture_output=True, text=True)
    if check and p.returncode:
        raise RuntimeError(f"{' '.join(args)}: {p.stderr.strip() or p.stdout.strip()}")
    return p.stdout


def inside(net, name, *args):
    """The command line that runs args in a node's namespace; exec keeps the pid."""
    return ["ip", "netns", "exec", net.ns(name), *args]


def existing(net):
    """Names (with prefix) of this network's namespaces that are there now."""
    names = [line.split()[0] for line in run("ip", "netns", "list").splitlines() if line]
    wanted = {net.ns(n.name) for n in NODES} | {net.ns("lan"), net.ns("far")}
    return [n for n in names if n in wanted]


def _make_ns(net, name):
    ns = net.ns(name)
    run("ip", "netns", "add", ns)
    run("ip", "-n", ns, "link", "set", "lo", "up")
    # Ports below 1024 are for the destination's services; pings show that a leg works.
    run("ip", "netns", "exec", ns, "sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647", check=False)


def _make_bridge(net):
    lan = net.ns("lan")
    _make_ns(net, "lan")
    # Snooping would learn from MLD reports that a relay without a kernel address never sends, and
    # neighbour discovery to it would stop.
    run("ip", "-n", lan, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
    run("ip", "-n", lan, "addr", "add", f"{GATEWAY4}/{V4_LEN}", "dev", "br0")
    run("ip", "-n", lan, "addr", "add", f"{GATEWAY6}/{V6_LEN}", "dev", "br0", "nodad")
    run("ip", "-n", lan, "link", "set", "br0", "up")


def _make_leg(net, node):
    lan, ns = net.ns("lan"), net.ns(node.name)
    port = SLOT_PORT if node.kind == "slot" else "eth0"
    run("ip", "-n", lan, "link", "add", node.name, "type", "veth", "peer", "name", port, "netns", ns)
    run("ip", "-n", lan, "link", "set", node.name, "master", "br0", "up")
    if node.kind == "slot":
        # No address, not even a link-local one: whatever answers here is not the kernel.
        run("ip", "netns", "exec", ns, "sysctl", "-qw", f"net.ipv6.conf.{port}.disable_ipv6=1")
        run("ip", "-n", ns, "link", "set", port, "arp", "off", "up")
    else:
        give_address(net, node, port)


def give_address(net, node, port):
    """Puts a node's addresses on its kernel interface (for the slot: oracle mode only)."""
    ns = net.ns(node.name)
    if node.kind == "slot":
        run("ip", "netns", "exec", ns, "sysctl", "-qw", f"net.ipv6.conf.{port}.disable_ipv6=0")
        run("ip", "-n", ns, "link", "set", port, "arp", "on")
    run("ip", "-n", ns, "addr", "replace", f"{node.v4}/{V4_LEN}", "dev", port)
    run("ip", "-n", ns, "link", "set", port, "up")
    run("ip", "-n", ns, "addr", "replace", f"{node.v6}/{V6_LEN}", "dev", port, "nodad")
    run("ip", "-n", ns, "route", "replace", "default", "via", GATEWAY4)
    run("ip", "-n", ns, "-6", "route", "replace", "default", "via", GATEWAY6)
    _congestion(net, node, port)


def _congestion(net, node, port):
    """The kernel's own default may be a controller that is not what relays run on (bbr costs C tor a fifth of its speed),
    so that figures would not compare from host to host. By route, for a namespace may not choose by sysctl where the
    host has cubic among its restricted ones."""
    ns = net.ns(node.name)
    for route in (["-4", "route", "change", f"{V4_NET}.0/{V4_LEN}", "dev", port, "proto", "kernel", "scope", "link",
                   "src", node.v4],
                  ["-6", "route", "change", f"{V6_NET}:/{V6_LEN}", "dev", port, "proto", "kernel",
                   "metric", "256"]):
        run("ip", "-n", ns, *route, "congctl", CONGESTION, check=False)


def take_address(net, node, port):
    """The reverse of give_address, for a slot that changes hands."""
    ns = net.ns(node.name)
    run("ip", "-n", ns, "addr", "flush", "dev", port)
    run("ip", "netns", "exec", ns, "sysctl", "-qw", f"net.ipv6.conf.{port}.disable_ipv6=1")
    run("ip", "-n", ns, "link", "set", port, "arp", "off")


def _make_management(net):
    dns = net.ns("dns")
    for i, (name, (dns4, slot4)) in enumerate(MGMT.items()):
        slot = net.ns(name)
        run("ip", "-n", dns, "link", "add", f"mg{i}", "type", "veth", "peer", "name", "mg0", "netns", slot)
        for ns, leg, addr in ((dns, f"mg{i}", dns4), (slot, "mg0", slot4)):
            run("ip", "-n", ns, "addr", "add", f"{addr}/{MGMT_LEN}", "dev", leg)
            run("ip", "-n", ns, "link", "set", leg, "up")


def build(net):
    """Makes what is missing; a half-built network (a crash in here) is taken down first by the caller."""
    _make_bridge(net)
    for node in NODES:
        _make_ns(net, node.name)
        _make_leg(net, node)
    _make_management(net)


def is_complete(net):
    return len(set(existing(net)) - {net.ns("far")}) == len(NODES) + 1


def _superframes(net, name, port, on):
    """Whether what leaves here is cut by the kernel into frames of the wire, or handed on as it is."""
    run(*inside(net, name, "ethtool", "-K", port, *(x for k in ("tso", "gso") for x in (k, on))))


def part(net, node):
    """Takes a node's leg off the bridge and leaves both ends of the gap in a namespace of its own (far.py)."""
    lan, far = net.ns("lan"), net.ns("far")
    _make_ns(net, "far")
    # Nobody lives here: no address, not even a link-local one.
    run("ip", "netns", "exec", far, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
    run("ip", "-n", lan, "link", "set", node.name, "netns", far, "name", FAR_NODE)
    run("ip", "-n", lan, "link", "add", node.name, "type", "veth", "peer", "name", FAR_LAN, "netns", far)
    run("ip", "-n", lan, "link", "set", node.name, "master", "br0", "up")
    for port in (FAR_NODE, FAR_LAN):
        run("ip", "-n", far, "link", "set", port, "up")
    _superframes(net, "lan", node.name, "off")
    _superframes(net, node.name, "eth0", "off")


def rejoin(net, node):
    """The reverse of part()."""
    lan, far = net.ns("lan"), net.ns("far")
    run("ip", "-n", lan, "link", "del", node.name)
    run("ip", "-n", far, "link", "set", FAR_NODE, "netns", lan, "name", node.name)
    run("ip", "-n", lan, "link", "set", node.name, "master", "br0", "up")
    _superframes(net, node.name, "eth0", "on")
    run("ip", "netns", "del", far)


def pids(net):
    """Every process that lives in one of this network's namespaces."""
    out = []
    for ns in existing(net):
        out += [int(p) for p in run("ip", "netns", "pids", ns, check=False).split()]
    return out


def remove(net):
    for ns in existing(net):
        run("ip", "netns", "del", ns, check=False)
