"""Life of the network: up, down, what is in the slot, and whether everybody is alive."""
import os
import shutil
import sys
import time
import keys
import process
import space
import torrc
from nodes import AUTHORITIES, BY_NAME, DEST_NAME, MGMT, MGMT_DNS4, NODES, SLOT, SLOT_PORT, say

HERE = os.path.dirname(os.path.realpath(__file__))
MARK = ".ramson-testnet"
# Authorities first: the others look for a consensus the moment they start.
ORDER = ["dns", "dest", "a1", "a2", "a3", "r1", "r2", "x1", "x2", "slot", "slot2", "c1", "c2"]


def require(net):
    if not space.is_complete(net) or not os.path.isdir(net.dir):
        raise RuntimeError("the network is not up: deploy/testnet/net up")


def _remove_files(net):
    """Removes the directory, but only one that this program made: --dir may name anything."""
    if not os.path.isdir(net.dir):
        return
    if not os.path.exists(net.path(MARK)) and os.listdir(net.dir):
        raise RuntimeError(f"{net.dir} holds other files (no {MARK} in it): left alone")
    shutil.rmtree(net.dir)


def _make_dirs(net):
    os.makedirs(net.dir, mode=0o700, exist_ok=True)
    net.write("", MARK)
    for node in NODES:
        os.makedirs(net.path(node.name), mode=0o700, exist_ok=True)
    net.write(torrc.resolv_conf(BY_NAME["dns"].v4), "dns", "resolv.conf")
    for name, (dns4, _) in MGMT.items():
        net.write(torrc.resolv_conf(dns4), name, "resolv.conf")


def _dns_argv():
    dest = BY_NAME["dest"]
    return ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root",
            "--pid-file=", "--cache-size=0", "--local-ttl=300", "--log-facility=-", "--local=/#/",
            f"--host-record={DEST_NAME},{dest.v4},{dest.v6}", f"--host-record=v4.{DEST_NAME},{dest.v4}",
            f"--host-record=v6.{DEST_NAME},{dest.v6}"]


def _start(net, name, build=None):
    """Starts one node unless it lives."""
    if process.pid_of(net, name):
        return
    node = BY_NAME[name]
    if name == "dns":
        process.start(net, name, _dns_argv())
    elif name == "dest":
        process.start(net, name, [sys.executable, os.path.join(HERE, "dest.py"), net.path("dest", "files")])
    elif node.kind == "slot":
        _start_slot(net, node, build)
    else:
        net.write(torrc.text(net, node), name, "torrc")
        process.start(net, name, ["tor", "-f", net.path(name, "torrc")])


def start_onion(net, limit_s=180):
    """Starts the onion service when it is first wanted. Not earlier: a service that finds no HSDir at its first upload, as
    in a network a minute old, tries again only an hour later."""
    if process.pid_of(net, "onion"):
        return
    from flags import consensus
    limit = time.monotonic() + limit_s
    while sum("HSDir" in e.flags for e in consensus(net)[1]) < 4:
        if time.monotonic() > limit:
            raise RuntimeError(f"no four HSDirs after {limit_s} s")
        time.sleep(2)
    say("net: starting the onion service")
    process.start(net, "onion-dest", [sys.executable, os.path.join(HERE, "dest.py"), net.path("dest", "files")], ns="onion")
    _start(net, "onion")


def _start_slot(net, node, build, extra=""):
    if net.kind_of(node) == "none":
        return
    net.write(torrc.text(net, node, extra=extra), node.name, "torrc")
    rc = net.path(node.name, "torrc")
    if net.kind_of(node) == "tor":
        space.give_address(net, node, SLOT_PORT)
        process.start(net, node.name, ["tor", "-f", rc])
        return
    binary = os.path.join(build, "ramson")
    if not os.access(binary, os.X_OK):
        raise RuntimeError(f"{binary} is not there: meson setup build --buildtype=release && ninja -C build")
    space.take_address(net, node, SLOT_PORT)
    process.start(net, node.name, [binary, "run", "-f", rc])


def _logs(net):
    log = {"ramson": "slot/ramson.log, slot/out.log", "tor": "slot/tor.log"}.get(net.slot_kind, "none")
    say(f"net: files in {net.dir}: NODE/tor.log, NODE/torrc, NODE/data; the slot's log is {log}")


def up(net, slot, build):
    """Makes and starts what is not there. A half-built network is taken down first."""
    parted = net.ns("far") in space.existing(net) and not process.pid_of(net, "far")
    if parted or (space.existing(net) and not space.is_complete(net)):
        say("net: a broken network was left here, removing it")
        down(net)
    if not space.existing(net):
        # Without namespaces nothing of an earlier run lives; its files would only mislead.
        _remove_files(net)
    _make_dirs(net)
    if net.read("slot.kind") not in (None, slot):
        say(f"net: the slot holds {net.slot_kind}; changing it to {slot}")
        empty_slot(net, SLOT)
    net.write(slot + "\n", "slot.kind")
    if not space.existing(net):
        say(f"net: {len(NODES) + 1} namespaces {net.prefix}*")
        space.build(net)
    keys.make(net)
    started = _missing(net)
    for name in ORDER:
        _start(net, name, build)
    say(f"net: started {' '.join(started)}" if started else "net: everything was up already")
    _logs(net)
    wait_consensus(net)
    check_slot(net, SLOT)


def _missing(net):
    """Names of the nodes that should run and do not; an empty slot lacks nothing."""
    return [n for n in ORDER if not process.pid_of(net, n)
            and not (BY_NAME[n].kind == "slot" and net.kind_of(BY_NAME[n]) == "none")]


def check_slot(net, node):
    """Says so, with the end of its log, if a slot's relay did not survive its start."""
    if net.kind_of(node) == "none" or process.pid_of(net, node.name):
        return
    lines = []
    for name in ("tor.log", "ramson.log", "out.log"):
        lines += (net.read(node.name, name) or "").splitlines()[-12:]
    raise RuntimeError(f"the relay in {node.name} has ended:\n  " + "\n  ".join(lines))


def wait_consensus(net, limit_s=120):
    """Waits for a consensus that lists the network's own relays."""
    began, last = time.monotonic(), 0.0
    want = sum(n.is_relay and n.kind != "slot" for n in NODES)
    while True:
        from flags import consensus
        have = len([e for e in consensus(net)[1] if "Running" in e.flags])
        took_s = time.monotonic() - began
        if have >= want:
            say(f"net: consensus with {have} running relays after {took_s:.0f} s")
            return
        dead = [n for n in ORDER if BY_NAME[n] in AUTHORITIES and not process.pid_of(net, n)]
        if dead:
            raise RuntimeError(f"{' '.join(dead)} ended: see {net.path(dead[0], 'tor.log')} and out.log")
        if took_s > limit_s:
            raise RuntimeError(f"no consensus with {want} running relays after {took_s:.0f} s ({have} there)")
        if took_s - last >= 10:
            say(f"net: {took_s:3.0f} s, waiting for a consensus ({have} of {want} relays running)")
            last = took_s
        time.sleep(1)


def empty_slot(net, node):
    """Ends what runs in a slot and forgets its keys: its successor is another relay."""
    process.stop(net, node.name)
    shutil.rmtree(net.path(node.name), ignore_errors=True)
    space.take_address(net, node, SLOT_PORT)
    _make_dirs(net)


def fake_resolver(net, mode):
    """Puts a misbehaving resolver (a mode of fakedns.py) in the place of the good one; None brings that back."""
    process.stop(net, "dns")
    if mode is None:
        _start(net, "dns")
    elif mode != "dead":
        dest, dns = BY_NAME["dest"], BY_NAME["dns"]
        process.start(net, "dns", [sys.executable, os.path.join(HERE, "fakedns.py"), mode, dest.v4, dest.v6,
                                   dns.v4, MGMT_DNS4])
    time.sleep(0.3)


def change_slot(net, kind, build, keep_data=False, node=SLOT, extra="", settle_s=3):
    """Restarts a slot's relay, or puts another kind there: with new keys, or with those of its forerunner. Its torrc ends
    with `extra`; settle_s later it must still live."""
    require(net)
    if kind == net.kind_of(node):
        process.stop(net, node.name)
    elif keep_data:
        process.stop(net, node.name)
        space.take_address(net, node, SLOT_PORT)
        net.write(kind + "\n", node.name + ".kind")
    else:
        empty_slot(net, node)
        net.write(kind + "\n", node.name + ".kind")
    _start_slot(net, node, build, extra)
    time.sleep(0 if kind == "none" else settle_s)
    check_slot(net, node)


def restart(net, node, build, extra=""):
    """Starts a relay again, with more lines at the end of its torrc."""
    if node.kind == "slot":
        change_slot(net, net.kind_of(node), build, node=node, extra=extra, settle_s=0.3)
        return
    process.stop(net, node.name)
    net.write(torrc.text(net, node, extra=extra), node.name, "torrc")
    process.start(net, node.name, ["tor", "-f", net.path(node.name, "torrc")])


def show_slot(net, node=SLOT):
    say(f"net: {node.name} holds {net.kind_of(node)}")
    if node is SLOT:
        _logs(net)


def slot_alive(net):
    return bool(process.pid_of(net, "slot"))


def report(net):
    dead = _missing(net)
    say(f"network {net.dir}, slot holds {net.slot_kind}, " +
        (f"NOT RUNNING: {' '.join(dead)}" if dead else "all nodes run"))


def down(net):
    """Ends every process of the network and removes its namespaces and files."""
    names = [n for n in os.listdir(net.dir) if os.path.exists(net.path(n, "pid"))] if os.path.isdir(net.dir) else []
    alive = [p for p in (process.pid_of(net, n) for n in names) if p] + space.pids(net)
    if alive:
        say(f"net: ending {len(set(alive))} processes")
        process.end(set(alive))
    if space.existing(net):
        say("net: removing namespaces")
        space.remove(net)
    _remove_files(net)
    say("net: down")
