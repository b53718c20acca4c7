"""What people get to see: the table of aims, every figure, and the results page with its plots."""
import os
import statistics
import sys

import rows as table


def need_matplotlib():
    try:
        import matplotlib
    except ImportError:
        sys.exit("compare: --plot needs matplotlib for /usr/bin/python3: apt-get install python3-matplotlib "
                 "(or sudo deploy/deps --plot)")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    return plt


def number(v):
    if v is None:
        return "-"
    return f"{v:,.0f}" if abs(v) >= 1000 else f"{v:.0f}" if abs(v) >= 100 else f"{v:.2f}" if abs(v) < 10 else f"{v:.1f}"


def aims(found):
    """Name, unit, figure, what it is, C tor's, reach for, not below, how the figure was had."""
    lines = []
    for row in table.ROWS:
        value, tor = table.value_of(row, found)
        how = table.judged(found, row.load)[1] if not row.compute else "computed"
        lines.append((row, value, tor, how if value is not None else None))
    return lines


def bounds(row):
    return number(row.reach), ("not above " if not row.more else "not below ") + number(row.least)


def aims_text(found):
    out = [f"{'row':58} {'Ramson':>9} {'':20} {'reach for':>16} {'':>19} {'':>9}  {'C tor':>8}"]
    for row, value, tor, how in aims(found):
        reach, least = bounds(row)
        out.append(f"{row.name:58} {number(value):>9} {row.unit:20} {reach:>7} {row.met(value, row.reach):>8} {least:>19} "
                   f"{row.met(value, row.least):>9}  {number(tor):>8}  {how or 'not measured'}")
    return out


def spread(values):
    if not values:
        return "-"
    return f"{number(statistics.median(values))} ({number(min(values))}-{number(max(values))})"


def share(found, name, how, kind, figure):
    v = table.of(found, name, how, kind, figure)
    return "-" if v is None else f"{100 * v:.0f} %"


def figure_lines(found):
    """Load, how, relay, median (spread), unit, runs, throttled, core share, busy, ours."""
    for name, load in table.LOADS.items():
        for how in load.hows:
            for kind in load.share or {"ramson": 1, "tor": 1}:
                got = table.figures(found, name, how, kind)
                if got:
                    yield (name, how, kind, spread(got), load.unit, str(len(got)),
                           share(found, name, how, kind, "throttled") if how == "held" else "-",
                           share(found, name, how, kind, "relay_core_share"), share(found, name, how, kind, "busy"),
                           share(found, name, how, kind, "generator_busy"))


HEADS = ("load", "how", "relay", "median (spread)", "unit", "runs", "throttled", "of a core", "busy", "generator")
WIDTHS = (14, 5, 11, 26, 20, 4, 9, 9, 5, 9)


def figures_text(found):
    out = [" ".join(f"{h:{w}}" for h, w in zip(HEADS, WIDTHS))]
    out += [" ".join(f"{c:{w}}" for c, w in zip(line, WIDTHS)) for line in figure_lines(found)]
    low = [f"{name} {kind}" for name, how, kind, *_ in figure_lines(found)
           if how == "held" and (table.of(found, name, how, kind, "throttled") or 0) < table.FULL]
    out.append("held: the quota was reached in 95 % of the periods or more in every row." if not low else
               "held: the quota was NOT reached in 95 % of the periods in " + ", ".join(low) + ".")
    return out


def ratios(found):
    out = []
    for name, load in table.LOADS.items():
        ours, tor = table.judged(found, name)[0], table.judged(found, name, "tor")[0]
        if ours and tor:
            less = load.unit in (table.BYTES, table.TIME)
            out.append((name, ours, tor, tor / ours if less else ours / tor, load.unit))
    return out


def elsewhere(found):
    """Each row that is bound by the core, as it would look where the aims were set."""
    for row, value, tor, _ in aims(found):
        got = table.at_aims(row, found)
        times = (value / tor, row.least / row.tor) if value and tor and row.tor else None
        if got:
            ghz, width, best, there = got
            yield (row.name, f"{ghz:.2f}", f"{width:.1f}", number(best), number(there), number(row.least),
                   row.met(there, row.least),
                   *((f"{times[0]:.1f} x", f"{times[1]:.1f} x", row.met(times[0], times[1])) if times else ("-", "-", "-")))


ELSEWHERE_HEADS = ("row", "GHz under it", "additions a cycle", "cells: best tenth", f"that at {table.AIMS_GHZ:g} GHz", "not below", "",
                   "times C tor", "not below, times C tor there", "")


def elsewhere_text(found):
    widths = (60, 12, 17, 17, 16, 9, 7, 11, 28, 7)
    return [" ".join(f"{c:{w}}" for c, w in zip(line, widths)) for line in (ELSEWHERE_HEADS, *elsewhere(found))]


LINES_A_CELL = 514 / 1448 * 1514 / 64  # its share of a full frame, each way


def notes(found):
    s, m, micro = found["settings"], found["machine"], found.get("micro", {})
    out = [f"{m['cpu']}, {m['cores']} cores, {m['memory_gib']} GiB, kernel {m['kernel']}, {m['date']}, commit {m['commit']}; "
           f"{m['tor'].rstrip('.')}; load average before: {m['load_before']:.2f}.",
           f"Quota {s['quota_percent']} % in periods of {s['period_us'] / 1000:g} ms" +
           (f" (a loop that never rests is stopped in {100 * s['spin_throttled']:.0f} % of them); " if s.get("spin_throttled")
            else "; ") + f"{s['rounds']} rounds at most, {s['seconds']:g} s each."]
    if micro.get("core_ghz"):
        out.append(f"Core clock {micro['core_ghz']:.2f} GHz before the runs, by a chain of dependent additions, one cycle each, beside "
                   f"the clock of the system; TSC {micro['tsc_ghz']:.2f} GHz. It is looked at again under each load.")
    crypto, outside = table.crypto_ns(found), table.outside_crypto(found)
    if None not in (crypto, outside):
        out.append(f"Cycles outside crypto: CPU time of a cell of middle-down less {crypto:.0f} ns for GCM open, CTR and GCM "
                   "seal, as micro measured them in the same run at the record sizes of that load.")
    floor = micro.get("machine")
    if floor:
        lines = LINES_A_CELL * (floor["line_read_ns"] + floor["line_write_ns"])
        out.append(f"The machine's own floor: a line that the other core has just written takes {floor['line_read_ns']:.1f} ns to "
                   f"read and {floor['line_write_ns']:.1f} to write over with many under way, which is {lines:.0f} ns of each cell "
                   "that comes and goes by memif. Cores that only look at the clock are kept from it for longer than 200 us from " +
                   " and ".join(f"{100 * a['over_200_us']:.2f} % of all moments on (core {a['core']})" for a in floor["away"]) +
                   "; a cell passes both, and at half load what queued meanwhile takes up to as long again to be worked off: from "
                   "somewhere between half a percent and one in sum, a p99 is longer than that by the machine alone.")
    out.append("A figure is of the held run; of the free one where that kept the relay's core full of turns that moved "
               "something (core and busy 95 % or more) and gave more: it needs no quota then. C tor's is the better of its two.")
    return out


def text(found):
    parts = [aims_text(found), figures_text(found), elsewhere_text(found),
             [f"{name:14} {number(a):>9} against {number(b):>9} of C tor: {r:6.1f} x" for name, a, b, r, _ in ratios(found)]]
    return "\n\n".join("\n".join(p) for p in parts + [notes(found)] if p)


# ---- the results page ----
def markdown_table(heads, lines):
    return "\n".join(["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)] +
                     ["| " + " | ".join(str(c) for c in line) + " |" for line in lines])


def page(found, plots):
    lines = []
    for row, value, tor, how in aims(found):
        lines.append((row.name, number(value), row.unit, f"{number(row.reach)}: {row.met(value, row.reach)}",
                      f"{number(row.least)}: {row.met(value, row.least)}", number(tor), how or "not measured"))
    out = ["# Results", "", "Written by `bench/compare --plot` from `results.json`; `bench/compare --from-json` draws it again.",
           "", *[f"- {n}" for n in notes(found)], "", "## Where the figures stand", "",
           markdown_table(("row", "Ramson", "unit", "reach for", "not below (costs: not above)", "C tor", "had by"), lines), ""]
    out += ["## On the machine of the aims", "",
            f"Figures of two machines cannot be compared. \"Not below\" was set on a Zen 4 whose core ran at {table.AIMS_GHZ:g} GHz. "
            "Two ways to look at it from here. First, what the core cycles that a cell took in the best tenth of the free run's "
            "steps of 0.1 s (a handshake: in all of the held run) give at that clock; a cycle in which this core waited for memory "
            "or the other core counts as any other, and there would be more of them. Additions a cycle that do not depend on each "
            "other, six under way, tell how much of the core was ours at the median moment: where they are fewer than in other "
            "rows, somebody was on its other half. Second, the multiple of what C tor does on each machine.", "", markdown_table(ELSEWHERE_HEADS, elsewhere(found)), ""]
    for name, caption in plots:
        out += [f"![{caption}]({name})", ""]
    out += ["## Every load", "", markdown_table(HEADS, figure_lines(found)), ""]
    micro = found.get("micro", {})
    if micro.get("rows"):
        out += ["## Nanoseconds of each primitive and stage", "",
                markdown_table(("name", "working set", "ns", "core cycles", "limit, ns (of another CPU, a Zen 4)", "what"),
                               [(r["name"], r["size"], f"{r['ns']:.1f}", f"{r['ns'] * micro['core_ghz']:.0f}",
                                 f"{r['limit_ns']:.1f}" if r["limit_ns"] else "", r["what"]) for r in micro["rows"]]), ""]
    if micro.get("walk"):
        out += ["## Where the time of a relayed cell goes (middle)", "",
                markdown_table(("stage", "ns a cell", "floor, ns", "over the floor, ns"),
                               [(w["stage"], f"{w['ns']:.1f}", f"{w['floor']:.1f}", f"{w['ns'] - w['floor']:.1f}")
                                for w in micro["walk"]]), ""]
    return "\n".join(out)


def bars(plt, found, path):
    got = [r for r in ratios(found) if r[4] in (table.GBIT, table.EACH)]
    if not got:
        return False
    fig, axes = plt.subplots(1, 2, figsize=(12, 4.2), gridspec_kw={"width_ratios": [2, 1]})
    for ax, unit in zip(axes, (table.GBIT, table.EACH)):
        some = [r for r in got if r[4] == unit]
        for i, (name, ours, tor, ratio, _) in enumerate(some):
            ax.bar(i - 0.2, ours, 0.4, color="#2c6e9b", label="Ramson" if not i else None)
            ax.bar(i + 0.2, tor, 0.4, color="#b9b9b9", label="C tor" if not i else None)
            ax.text(i - 0.2, ours, f"{ratio:.1f}x", ha="center", va="bottom", fontsize=8)
        ax.set_xticks(range(len(some)), [r[0] for r in some], rotation=25, ha="right", fontsize=8)
        ax.set_ylabel(unit)
        if unit == table.EACH:
            ax.set_yscale("log")
            ax.set_ylim(100, 3 * max([r[1] for r in some] + [r[2] for r in some] + [100]))
        if some:
            ax.legend(fontsize=8)
    fig.tight_layout()
    fig.savefig(path, dpi=110)
    plt.close(fig)
    return True


NAMES = {"ramson": ("Ramson", "#2c6e9b"), "tor": ("C tor", "#8a8a8a")}


def scaling(plt, found, path):
    got = found.get("curves", {}).get("circuits", {})
    if not any(got.values()):
        return False
    fig, ax = plt.subplots(figsize=(7, 4.2))
    for kind, points in got.items():
        ax.plot([p[0] for p in points], [p[1] for p in points], "o-", label=NAMES[kind][0], color=NAMES[kind][1])
    ax.set_xscale("log")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("circuits")
    ax.set_ylabel("Gbit per core-second, middle")
    ax.legend()
    ax.grid(alpha=0.3)
    fig.tight_layout()
    fig.savefig(path, dpi=110)
    plt.close(fig)
    return True


def latency(plt, found, path):
    got = found.get("curves", {}).get("latency", {})
    if not any(got.values()):
        return False
    fig, ax = plt.subplots(figsize=(7, 4.2))
    for kind, points in got.items():
        for i, (name, style) in enumerate((("p50", "-"), ("p99", "--"), ("p99.9", ":"))):
            ax.plot([100 * p[0] for p in points], [p[i + 1] for p in points], style, marker=".",
                    label=f"{NAMES[kind][0]}, {name}", color=NAMES[kind][1])
    ax.set_yscale("log")
    ax.set_xlabel("load, % of the most of each relay")
    ax.set_ylabel("time of a cell through the relay, us")
    ax.legend(fontsize=8)
    ax.grid(alpha=0.3, which="both")
    fig.tight_layout()
    fig.savefig(path, dpi=110)
    plt.close(fig)
    return True


PLOTS = (("bars.png", "Ramson beside C tor", bars), ("circuits.png", "Scaling over circuits", scaling),
         ("latency.png", "Latency over load", latency))


def draw(found, where):
    plt = need_matplotlib()
    made = [(name, caption) for name, caption, plot in PLOTS if plot(plt, found, os.path.join(where, name))]
    with open(os.path.join(where, "README.md"), "w", encoding="utf-8") as f:
        f.write(page(found, made))
