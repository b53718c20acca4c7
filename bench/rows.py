"""The rows: which loads are run, which figure of a run counts, and where it should stand."""
import statistics

GBIT, EACH, BYTES, TIME = "Gbit per core-second", "a core-second", "bytes", "us"
FEW = ["--links", "10", "--circuits", "100", "--sinks", "4", "--window", "50"]
MANY = ["--links", "5000", "--circuits", "100000", "--sinks", "64", "--window", "1", "--flight", "8192",
        "--handshake", "fast", "--pending", "256", "--mem", "512"]
GUARD = ["guard", "--direction", "down", "--links", "500", "--circuits", "500", "--sinks", "4", "--window", "8",
         "--handshake", "fast"]
IDLE = ["idle", "--links", "1000", "--circuits", "20000", "--handshake", "fast", "--pending", "256"]
IDLE_CGO = ["idle", "--links", "1000", "--circuits", "20000", "--cgo", "--pending", "256"]
AES256 = ["--suite", "aes256"]
VETH = ["middle", "--direction", "both", "--sinks", "2", "--links", "32", "--circuits", "320", "--window", "20"]


class Load:
    """ramson-load's words, the figure that counts, its unit; relays and how many of the rounds each is run; held: by the
    quota too. report: which of the objects that ramson-load prints."""

    def __init__(self, words, figure, unit, held=True, free=True, report=0, ramson=1.0, tor=1.0, kinds=None, quick=True):
        self.words, self.figure, self.unit, self.report, self.quick = words, figure, unit, report, quick
        self.hows = (("held",) if held else ()) + (("free",) if free else ())
        self.share = kinds or {"ramson": ramson, "tor": tor}

    def rounds(self, kind, rounds):
        share = self.share.get(kind, 0)
        return max(1, round(share * rounds)) if share else 0


LOADS = {
    "middle-down": Load(["middle", "--direction", "down"] + FEW, "gbit_per_core_s", GBIT),
    "middle-up": Load(["middle", "--direction", "up"] + FEW, "gbit_per_core_s", GBIT, ramson=0.6, tor=0.4, quick=False),
    "middle-aes256": Load(["middle", "--direction", "down"] + FEW + AES256, "gbit_per_core_s", GBIT, ramson=0.6, tor=0,
                          free=False),
    "many-8": Load(["middle", "--burst", "8"] + MANY, "gbit_per_core_s", GBIT, tor=0.2),
    "many-8-aes256": Load(["middle", "--burst", "8"] + MANY + AES256, "gbit_per_core_s", GBIT, ramson=0.4, tor=0,
                          free=False, quick=False),
    "many-1": Load(["middle", "--burst", "1"] + MANY, "gbit_per_core_s", GBIT, tor=0.2),
    "guard": Load(GUARD, "gbit_per_core_s", GBIT),
    "guard-aes256": Load(GUARD + AES256, "gbit_per_core_s", GBIT, ramson=0.6, tor=0, free=False, quick=False),
    "exit-down": Load(["exit", "--direction", "down"] + FEW, "gbit_per_core_s", GBIT),
    "exit-up": Load(["exit", "--direction", "up"] + FEW, "gbit_per_core_s", GBIT, ramson=0.6, tor=0.4, quick=False),
    "exit-aes256": Load(["exit", "--direction", "down"] + FEW + AES256, "gbit_per_core_s", GBIT, ramson=0.6, tor=0,
                        free=False, quick=False),
    "middle-cgo": Load(["middle", "--cgo", "--direction", "down"] + FEW, "gbit_per_core_s", GBIT, tor=0.4),
    "exit-cgo": Load(["exit", "--cgo", "--direction", "down"] + FEW, "gbit_per_core_s", GBIT, tor=0.4),
    "workers": Load(VETH, "ns_per_cell", "ns a cell", held=False, kinds={"ramson-one": 1.0, "ramson-two": 1.0}),
    "create-ntor": Load(["create", "--handshake", "ntor"], "per_core_s", EACH, free=False),
    "create-ntor3": Load(["create", "--handshake", "ntor3"], "per_core_s", EACH, free=False, ramson=0.4, tor=0.4, quick=False),
    "create-fast": Load(["create", "--handshake", "fast"], "per_core_s", EACH, free=False, ramson=0.4, tor=0.4, quick=False),
    "connect": Load(["connect", "--pending", "32"], "per_core_s", EACH, free=False),
    "idle-circuit": Load(IDLE, "bytes_per_circuit", BYTES, held=False, ramson=0.4, tor=0.4),
    "idle-cgo": Load(IDLE_CGO, "bytes_per_circuit", BYTES, held=False, ramson=0.4, tor=0.4),
    "idle-link": Load(IDLE, "bytes_per_link", BYTES, held=False, ramson=0, tor=0),
    "thin": Load(["thin"], "p99_us", TIME, held=False, kinds={"ramson": 0.6, "ramson-one": 0.6, "tor": 0.6}),
    "latency": Load(["latency", "--window", "20"] + FEW[:-2], "p99_us", TIME, held=False, report=2, tor=0.4),
}
# These print what others have measured: one run serves both.
SAME = {"idle-link": "idle-circuit"}


class Row:
    """A row of the table of aims. more: the higher the better. tor: what C tor did on the machine on which the aims were set,
    a Zen 4 at 3.68 GHz; a multiple of C tor's figure can be compared between machines, a figure cannot."""

    def __init__(self, name, load, reach, least, more=True, compute=None, unit=None, tor=None):
        self.name, self.load, self.reach, self.least, self.more, self.tor = name, load, reach, least, more, tor
        self.compute, self.unit = compute, unit or (LOADS[load].unit if load else "")

    def met(self, value, bound):
        if value is None:
            return "-"
        return "met" if (value >= bound if self.more else value <= bound) else "NOT MET"


def figures(results, load, how, kind):
    name = SAME.get(load, load)
    got = results["runs"].get(name, {}).get(how, {}).get(kind, [])
    return [r[LOADS[load].figure] for r in got if LOADS[load].figure in r]


def median(values):
    return statistics.median(values) if values else None


def of(results, load, how, kind, figure):
    got = results["runs"].get(SAME.get(load, load), {}).get(how, {}).get(kind, [])
    return median([r[figure] for r in got if r.get(figure) is not None])


FULL = 0.95  # from here on a relay is called busy, and a quota reached


def saturated(results, load, kind="ramson"):
    """Whether the free run kept the relay's core full with turns that moved something: then it needs no quota."""
    share, busy = (of(results, load, "free", kind, f) for f in ("relay_core_share", "busy"))
    return share is not None and busy is not None and share >= FULL and busy >= FULL


def judged(results, load, kind="ramson"):
    """The figure that counts and how it was had: held, or free where that run was full as well and gave more (less, for
    times and costs)."""
    best, how = None, None
    for h in LOADS[load].hows:
        value = median(figures(results, load, h, kind))
        if value is None or (h == "free" and "held" in LOADS[load].hows and kind == "ramson" and
                             not saturated(results, load)):
            continue
        if best is None or value > best:
            best, how = value, h
    return best, how


# ---- figures that are computed ----
def micro(results, name, size):
    for r in results.get("micro", {}).get("rows", []):
        if r["name"] == name and r["size"] == size:
            return r["ns"]
    return None


def gcm_ns(results, what, cells):
    """A cell's share of a record of so many (a mean, so it may be broken): between the measured ones by their cost in bytes
    and for the record."""
    one, long = micro(results, what, 1), micro(results, what, 31)
    if one is None or long is None or not cells:
        return None
    by_cell = (long * 31 - one) / 30
    return by_cell + (one - by_cell) / cells


def crypto_ns(results, load="middle-down"):
    """What opening, one CTR and sealing cost at the record sizes of that run."""
    _, how = judged(results, load)
    if not how:
        return None
    came, went = (of(results, load, how, "ramson", f) for f in ("cells_per_record_out", "cells_per_record_in"))
    parts = [gcm_ns(results, "gcm128 open", came), gcm_ns(results, "gcm128 seal", went), micro(results, "ctr", 100)]
    return sum(parts) if None not in parts else None


def outside_crypto(results):
    """Core cycles of a relayed cell outside crypto."""
    _, how = judged(results, "middle-down")
    crypto, quiet = crypto_ns(results), results.get("micro", {}).get("core_ghz")
    whole, ghz = (of(results, "middle-down", how, "ramson", f) if how else None for f in ("ns_per_cell", "ghz"))
    return None if None in (crypto, quiet, whole, ghz) else whole * ghz - crypto * quiet


def two_workers(results):
    """Twice the cores at the cost of a cell that each then has: two workers against one."""
    one, two = (median(figures(results, "workers", "free", k)) for k in ("ramson-one", "ramson-two"))
    return 2 * one / two if one and two else None


def steady_p99(results):
    """Of cells that no pause of the generator touched: it runs on a core of its own, and is kept from it like the relay."""
    return of(results, "latency", "free", "ramson", "steady_p99_us")


ROWS = (
    Row("middle, tor1, 100 circuits on 10 links", "middle-down", 20, 10, tor=0.73),
    Row("middle, tor1, 100,000 circuits on 5,000 links, bursts of 8", "many-8", 12, 6),
    Row("the same, one cell at a time", "many-1", 7, 4),
    Row("guard, tor1 (client links of few cells each)", "guard", 15, 8, tor=0.72),
    Row("exit, tor1, 100 streams", "exit-down", 12, 6, tor=0.92),
    Row("middle, CGO, 100 circuits on 10 links", "middle-cgo", 12, 6),
    Row("exit, CGO, 100 streams", "exit-cgo", 12, 6, tor=0.76),
    Row("two workers against one", "workers", 1.9, 1.7, compute=two_workers, unit="x"),
    Row("ntor handshakes answered", "create-ntor", 30000, 15000, tor=5600),
    Row("TLS and link handshakes accepted", "connect", 2000, 1400, tor=690),
    Row("memory of an idle circuit", "idle-circuit", 1024, 2048, more=False),
    Row("memory of an idle circuit, CGO", "idle-cgo", 1536, 2560, more=False),
    Row("memory of an idle link", "idle-link", 4096, 8192, more=False),
    Row("cell latency, p99, at half load", "latency", 50, 200, more=False),
    Row("the same, cells that no pause of the generator touched", "latency", 50, 200, more=False, compute=steady_p99, unit="us"),
    Row("cycles of a cell outside crypto", "middle-down", 300, 700, more=False, compute=outside_crypto, unit="core cycles"),
)


AIMS_GHZ = 3.68  # the clock of the core on which the aims were set


def at_aims(row, results):
    """For a row that is bound by the core: its clock and width under the load, its figure, and what the core cycles of that are
    at the clock of the aims. Cells are of the best tenth of a free run: in a held one, what is under way at the ends of a step
    is too much of it."""
    if row.compute or row.unit not in (GBIT, EACH):
        return None
    how, figure = ("free", "best_" + LOADS[row.load].figure) if row.unit == GBIT else ("held", LOADS[row.load].figure)
    value, ghz, width = (of(results, row.load, how, "ramson", f) for f in (figure, "ghz", "width"))
    return None if None in (value, ghz, width) else (ghz, width, value, value * AIMS_GHZ / ghz)


def value_of(row, results):
    """The figure of a row, and of C tor where there is one."""
    if row.compute:
        return row.compute(results), None
    return judged(results, row.load)[0], judged(results, row.load, "tor")[0]
