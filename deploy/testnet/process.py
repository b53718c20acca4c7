"""Processes of the network: started in a namespace, remembered by pid and start time, ended by pid only."""
import os
import signal
import subprocess
import time
import space


def _start_time(pid):
    """Start time of a process in clock ticks since boot; tells a process from a later one with its pid."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


def start(net, name, argv, ns=None, log="out.log"):
    """Starts argv in the namespace ns (default: name's own), output appended to name's log; returns the pid."""
    path = net.path(name, log)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "ab") as out:
        p = subprocess.Popen(space.inside(net, ns or name, *argv), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                             start_new_session=True, cwd="/")
    net.write(f"{p.pid} {_start_time(p.pid)}\n", name, "pid")
    _children[p.pid] = p
    return p.pid


_children = {}


def pid_of(net, name):
    """The pid of the node's process while it lives, else None."""
    text = net.read(name, "pid")
    if not text:
        return None
    pid, started = text.split()
    child = _children.get(int(pid))
    if child:
        child.poll()
    return int(pid) if started == _start_time(int(pid)) else None


def _signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def end(pids, patience_s=4):
    """SIGTERM, and SIGKILL for what is left after patience_s."""
    alive = {p: t for p in pids if (t := _start_time(p))}
    for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 3)):
        for p in alive:
            _signal(p, number)
        limit = time.monotonic() + wait_s
        while alive and time.monotonic() < limit:
            for child in _children.values():
                child.poll()
            alive = {p: t for p, t in alive.items() if _start_time(p) == t}
            time.sleep(0.05)
        if not alive:
            return
    raise RuntimeError(f"processes {sorted(alive)} do not end")


def stop(net, name):
    """Ends a node: its own process first, as a service manager does, then whatever else lives in its namespace."""
    pid = pid_of(net, name)
    if pid:
        end([pid])
    if net.ns(name) in space.existing(net):
        end([int(p) for p in space.run("ip", "netns", "pids", net.ns(name), check=False).split()])
