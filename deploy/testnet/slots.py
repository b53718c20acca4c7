"""What suites ask of the relay in a slot: does it serve, which processes live there, what does `ramson status` say."""
import contextlib
import json
import os
import subprocess
import time
import life
import space
from nodes import BY_NAME, SLOT
from torlink import Closed, Link, Refused, Relay, Silence
from traffic import Failed

BUILD = os.environ.get("RAMSON_BUILD", os.path.join(os.path.dirname(os.path.dirname(life.HERE)), "build"))


def members(net, node=SLOT):
    """{program name: pid} of what lives in a slot's namespace."""
    out = {}
    for pid in space.run("ip", "netns", "pids", net.ns(node.name)).split():
        with contextlib.suppress(FileNotFoundError):
            with open(f"/proc/{pid}/cmdline") as f:
                out[os.path.basename(f.read().split("\0")[0])] = int(pid)
    return out


def serves(net, relay, limit_s=30):
    """Waits until the relay answers a stranger's circuit; returns the seconds it took."""
    began = time.monotonic()
    while True:
        try:
            with Link.open(net, "c1", relay, timeout_s=5).handshake() as link:
                link.circuit(relay).create_ntor()
                return time.monotonic() - began
        except (Closed, Silence, Refused, OSError) as e:
            if time.monotonic() - began > limit_s:
                raise Failed(f"does not serve after {limit_s} s: {type(e).__name__} {e}")
            time.sleep(0.2)


NEAR = ("r1", "r2", "x1")  # relays that clients of the suites come through


def rejoined(net, relay, limit_s=150, hops=NEAR):
    """Waits until the relays that clients come through extend to this one again: a tor that dialled it while it was down
    refuses to dial once more for a minute, and that is not this relay's doing."""
    began = time.monotonic()
    for name in set(hops) - {relay.name}:
        hop = Relay.of(net, BY_NAME[name])
        while True:
            try:
                with Link.open(net, "c1", hop, timeout_s=5).handshake() as link:
                    link.circuit(hop).create_ntor().extend(relay)
                break
            except (Closed, Silence, Refused, OSError) as e:
                if time.monotonic() - began > limit_s:
                    raise Failed(f"{name} does not extend to {relay.name} after {limit_s} s: {type(e).__name__} {e}")
                time.sleep(1)


@contextlib.contextmanager
def started(net, relay, extra, hops=NEAR):
    """The slot's relay with more lines in its torrc, as soon as those hops extend to it; afterwards it runs as before."""
    try:
        life.change_slot(net, net.slot_kind, BUILD, extra=extra, settle_s=0.3)
        serves(net, relay)
        rejoined(net, relay, hops=hops)
        yield
    finally:
        life.change_slot(net, net.slot_kind, BUILD, settle_s=0.3)
        serves(net, relay)


def described(net, node, limit_s=90):
    """The relay in a slot, once an authority has its descriptor."""
    limit = time.monotonic() + limit_s
    while True:
        try:
            return Relay.of(net, node)
        except RuntimeError:
            if time.monotonic() > limit:
                raise
            time.sleep(1)


def ramson(net, node, *args, limit_s=20):
    """Runs `ramson ARGS -f` with the slot's torrc, in its namespace: (exit code, stdout, stderr)."""
    argv = [os.path.join(BUILD, "ramson"), args[0], "-f", net.path(node.name, "torrc"), *args[1:]]
    p = subprocess.run(space.inside(net, node.name, *argv), capture_output=True, text=True, timeout=limit_s)
    return p.returncode, p.stdout, p.stderr


def status(net, node=SLOT):
    """The document of `ramson status --json`."""
    code, out, err = ramson(net, node, "status", "--json")
    if code:
        raise Failed(f"ramson status: {err}")
    return json.loads(out)
