"""The relays under test, each in a directory of its own, and what holds them: namespaces and a cgroup."""
import json
import os
import shutil
import signal
import subprocess
import time

CGROUP_V1, CGROUP_V2 = "/sys/fs/cgroup/cpu", "/sys/fs/cgroup"
RELAY_IP, LOAD_IP, OR_PORT = "10.78.0.1", "10.78.0.2", 9001
TAG = "ramsonb"  # with our process id: two of us may run
NETNS = (f"{TAG}-{os.getpid()}-relay", f"{TAG}-{os.getpid()}-load")
# A directory authority must be named, else the public ones are asked; nobody is there.
NOBODY = "0123456789ABCDEF0123456789ABCDEF01234567"
COMMON = f"""
Nickname dut
ContactInfo bench
Address {RELAY_IP}
ORPort {RELAY_IP}:{OR_PORT}
TestingTorNetwork 1
AssumeReachable 1
PublishServerDescriptor 0
ExtendAllowPrivateAddresses 1
RefuseUnknownExits 0
ExitRelay 1
ExitPolicy accept *:*
ExitPolicyRejectPrivate 0
BandwidthRate 2147483647
BandwidthBurst 2147483647
DirAuthority nobody orport=9999 v3ident={NOBODY} 10.78.0.250:9998 {NOBODY}
"""


def run(*words, check=True):
    return subprocess.run(words, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


def forget_the_dead():
    """Namespaces and cgroups of a run that was killed."""
    for where, drop in (("/run/netns", lambda path: run("ip", "netns", "del", os.path.basename(path), check=False)),
                        (CGROUP_V1, os.rmdir), (CGROUP_V2, os.rmdir)):
        for name in os.listdir(where) if os.path.isdir(where) else ():
            words = name.split("-")
            if words[0] == TAG and words[1].isdigit() and not os.path.exists(f"/proc/{words[1]}"):
                try:
                    drop(os.path.join(where, name))
                except OSError:
                    pass


def network_up():
    forget_the_dead()
    for ns in NETNS:
        run("ip", "netns", "add", ns)
    run("ip", "link", "add", "ramsonb0", "netns", NETNS[0], "type", "veth", "peer", "name", "ramsonb1", "netns", NETNS[1])
    run("ip", "-n", NETNS[0], "addr", "add", f"{RELAY_IP}/24", "dev", "ramsonb0")
    for ns, link in ((NETNS[0], "lo"), (NETNS[0], "ramsonb0"), (NETNS[1], "ramsonb1")):
        run("ip", "-n", ns, "link", "set", link, "up")


def network_down():
    for ns in NETNS:
        run("ip", "netns", "del", ns, check=False)


class Cgroup:
    """The relay's cgroup; its quota is set by ramson-load once links and circuits stand."""

    def __init__(self):
        self.v1 = os.path.exists(os.path.join(CGROUP_V1, "cpu.shares"))
        if not self.v1:
            with open(os.path.join(CGROUP_V2, "cgroup.subtree_control"), "w", encoding="ascii") as f:
                f.write("+cpu")
        self.dir = os.path.join(CGROUP_V1 if self.v1 else CGROUP_V2, f"{TAG}-{os.getpid()}")
        os.makedirs(self.dir, exist_ok=True)

    def put(self, name, text):
        with open(os.path.join(self.dir, name), "w", encoding="ascii") as f:
            f.write(str(text))

    def hold(self, percent, period_us):
        if self.v1:
            self.put("cpu.cfs_quota_us", -1)
            self.put("cpu.cfs_period_us", period_us)
            self.put("cpu.cfs_quota_us", period_us * percent // 100 if percent else -1)
        else:
            self.put("cpu.max", f"{period_us * percent // 100 if percent else 'max'} {period_us}")

    def throttled(self):
        with open(os.path.join(self.dir, "cpu.stat"), encoding="ascii") as f:
            stat = dict(line.split() for line in f)
        return int(stat["nr_periods"]), int(stat["nr_throttled"])

    def tasks(self):
        with open(os.path.join(self.dir, "cgroup.procs"), encoding="ascii") as f:
            pids = f.read().split()
        for pid in pids:
            try:
                yield from os.listdir(f"/proc/{pid}/task")
            except OSError:
                pass

    def enter(self):
        self.put("cgroup.procs", os.getpid())

    def spin(self, core, percent, period_us, seconds):
        """In what share of the periods the quota stops a loop that never rests: the most any relay can show. Where the
        kernel's tick is longer than the quota it is noticed late, paid back later, and whole periods pass unstopped."""
        def child():
            self.enter()
            os.sched_setaffinity(0, {core})

        self.hold(percent, period_us)
        p = subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"], preexec_fn=child)
        try:
            time.sleep(0.2)
            before = self.throttled()
            time.sleep(seconds)
            after = self.throttled()
        finally:
            p.kill()
            p.wait()
            self.hold(0, period_us)
        return (after[1] - before[1]) / max(after[0] - before[0], 1)

    def close(self):
        for _ in range(50):
            try:
                os.rmdir(self.dir)
                return
            except OSError:
                time.sleep(0.1)


class Relay:
    """load() gives what stands before ramson-load, and its port."""

    def __init__(self, args, cgroup, place):
        self.args, self.cgroup, self.place = args, cgroup, place
        self.dir, self.process = os.path.join(place, self.name), None

    def prepare(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        self.data = os.path.join(self.dir, "data")
        os.makedirs(self.data, mode=0o700)
        self.torrc = os.path.join(self.dir, "torrc")
        with open(self.torrc, "w", encoding="ascii") as f:
            f.write(COMMON + f"DataDirectory {self.data}\n" + self.extra())

    def start(self):
        def child():
            os.setsid()
            self.cgroup.enter()
            os.sched_setaffinity(0, self.cores())

        with open(os.path.join(self.dir, "log"), "w", encoding="ascii") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, preexec_fn=child)

    def cores(self):
        return {self.args.relay_core}

    def settled(self):
        """ramson-load has begun a phase: the relay is up."""

    def busy(self):
        """Share of the last second that its workers spent in turns that moved something; None: it cannot say."""
        return None

    def stop(self):
        if not self.process:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None


class Ramson(Relay):
    name = "ramson"

    def extra(self):
        self.socket = os.path.join(self.dir, "memif")
        return (f"DataplanePort memif:{self.socket},zero-copy\nDataplaneAddress {RELAY_IP}/24\n"
                f"DataplaneCores {self.args.relay_core}\nMaxMemInQueues 512 MB\nLog notice stderr\n")

    def command(self):
        return [os.path.join(self.args.build, "ramson"), "run", "-f", self.torrc]

    def load(self):
        return [], ["--port", f"memif:{self.socket},server"]

    def busy(self):
        got = subprocess.run([os.path.join(self.args.build, "ramson"), "status", "-f", self.torrc, "--json"],
                             capture_output=True, text=True, timeout=5, check=False)
        try:
            return max(c["busy"] for c in json.loads(got.stdout)["cores"])
        except (ValueError, KeyError):
            return None


class RamsonVeth(Ramson):
    """On a veth pair instead, whose port steers to several workers: all on the relay's one core."""
    name = "ramson-one"
    workers = 1

    def extra(self):
        first = self.args.relay_core
        names = ",".join(str(c) for c in ([first, self.args.load_core][:self.workers]))
        return (f"DataplanePort af_packet:ramsonb0\nDataplaneAddress {RELAY_IP}/24\nDataplaneCores {names}\n"
                f"MaxMemInQueues 512 MB\nLog notice stderr\n")

    def prepare(self):
        super().prepare()
        run("ip", "-n", NETNS[0], "addr", "del", f"{RELAY_IP}/24", "dev", "ramsonb0", check=False)

    def cores(self):
        return {self.args.relay_core, self.args.load_core}

    def command(self):
        return ["nsenter", f"--net=/run/netns/{NETNS[0]}"] + super().command()

    def load(self):
        return ["nsenter", f"--net=/run/netns/{NETNS[1]}"], ["--port", "af_packet:ramsonb1"]

    def settled(self):
        for tid in self.cgroup.tasks():
            try:
                os.sched_setaffinity(int(tid), {self.args.relay_core})
            except OSError:
                pass


class RamsonTwo(RamsonVeth):
    name = "ramson-two"
    workers = 2


class Tor(Relay):
    name = "tor"

    def extra(self):
        return "SocksPort 0\nServerDNSDetectHijacking 0\nServerDNSAllowBrokenConfig 1\nLog notice stdout\n"

    def prepare(self):
        super().prepare()
        run("ip", "-n", NETNS[0], "addr", "replace", f"{RELAY_IP}/24", "dev", "ramsonb0")

    def command(self):
        # not `ip netns exec`: it hides the cgroups
        return ["nsenter", f"--net=/run/netns/{NETNS[0]}", self.args.tor, "-f", self.torrc]

    def load(self):
        return ["nsenter", f"--net=/run/netns/{NETNS[1]}"], ["--port", "af_packet:ramsonb1"]


KINDS = {k.name: k for k in (Ramson, Tor, RamsonVeth, RamsonTwo)}
