"""Which probes stand for which rule: a word for each row of the behaviour list that a scripted client can reach.

The letters: C circuit operations and queues, R relay-cell crypto and messages, F flow control and conflux, E streams, H circuit
handshakes, P padding, O onion-service points, X defences. A name that ends in * stands for all that begin so.
"""
from probes import circuit, defence, flow, link, padding, service, stream  # noqa: F401 (each registers its rows)
from probes.frame import ROWS

COVERED = {
    "C1": "extend-good extend-both-families extend-junk-skin truncate-and-extend-again",
    "C2": "extend-without-* extend-unknown-specifier extend-duplicate-rsa-id extend-second-ipv4 extend-zero-rsa-id "
          "extend-count-too-big extend-no-specifier extend-truncated",
    "C3": "extend-to-itself extend-wrong-* extend-to-a-closed-port extend-twice extend-ipv6-only extend-after-extended",
    "C4": "extend-not-early relay-early-nine relay-early-eight nine-relay-early-onward",
    "C5": "created-from-a-client created-fast-from-a-client created-for-unknown-circuit",
    "C6": "next-hop-destroys destroy-* rendezvous-client-leaves rendezvous-service-leaves",
    "C7": "truncate truncate-without-body truncate-at-* truncate-and-extend-again",
    "C8": "relay-on-unknown-circuit",
    "C9": "create-id-* create-wrong-id-half create2-wrong-id-half",
    "C16": "silent-circuit-*",
    "C17": "zero-stream-ids",
    "C18": "relay-while-pending",
    "C19": "connected-on-* resolved-on-* extended2-from-a-client truncated-from-a-client begin-twice data-on-unknown-stream",
    "R1": "echo forwarded-begin-dir fetch-with-fixed-windows",
    "R2": "relay-wrong-digest relay-recognized-not-zero",
    "R3": "relay-length-too-big",
    "R4": "cgo-begin-dir cgo-fetch cgo-at-the-first-hop cgo-extend cgo-garbage",
    "R5": "cgo-lengths cgo-zero-stream-ids",
    "R6": "sendme-of-fixed-windows cc-upload cgo-upload",
    "R7": "relay-garbage cgo-garbage",
    "R8": "relay-unknown-command relay-length-too-big cgo-unknown-commands cgo-lengths",
    "R9": "padding-bytes-*",
    "R11": "cgo-early-*",
    "R12": "rendezvous-join rendezvous-early-cell-crosses rendezvous-between-cgo-and-tor1",
    "F1": "sendme-of-fixed-windows data-hundred-on-unknown-stream data-beyond-the-window cc-upload",
    "F2": "sendme-good-ones sendme-out-of-order sendme-wrong-length sendme-tag-cut-short sendme-version-2 sendme-unexpected",
    "F3": "sendme-version-0 sendme-version-0-unexpected sendme-version-0-on-a-fast-circuit",
    "F4": "stream-sendme-unexpected cc-stream-sendme",
    "F5": "cc-initial-window cc-fetch",
    "F7": "xoff-and-xon xoff-stops-the-stream xon-with-*",
    "F8": "xoff-* xon-*",
    "F9": "conflux-link*",
    "F10": "conflux-begin-* conflux-switch-malformed",
    "F11": "conflux-out-of-order conflux-a-number-again",
    "E1": "begin-flags-short begin-port-* begin-without-* begin-empty begin-name-v4-not-ok",
    "E2": "begin-literal-* begin-name*",
    "E3": "end-without-body*",
    "E4": "begin-data-in-a-row",
    "E7": "begin-on-a-client-link",
    "E8": "begin-to-a-relays-orport",
    "E10": "forwarded-begin-dir rendezvous-begin-dir-* conflux-begin-dir-on-a-set",
    "E11": "begin-refused begin-to-the-peer-that-*",
    "E12": "begin-to-the-peer-that-ends",
    "E14": "stream-flood*",
    "H1": "create2-length-too-big",
    "H2": "create2-ntor-*",
    "H3": "create2-ntor3-* ntor3-*",
    "H4": "ntor3-no-extension ntor3-empty-message ntor3-unknown-extension ntor3-truncated-extension ntor3-trailing-bytes",
    "H5": "ntor3-congestion-control",
    "H6": "ntor3-cgo*  ntor3-unknown-subprotocol",
    "H7": "create-id-in-use sendme-version-0-on-a-fast-circuit",
    "H8": "create-tap create2-tap create2-fast extend-legacy extend-tap extend-fast",
    "H9": "extend-unknown-handshake",
    "H12": "create2-ntor-other-onion-key",
    "H13": "intro-establish intro-on-a-cgo-circuit",
    "H14": "create2-ntor-junk create2-unknown-type",
    "P1": "netflow-*",
    "P2": "padding-negotiate netflow-stopped netflow-asked-* netflow-malformed-stop",
    "P3": "padding-after-open vpadding-*",
    "P4": "relay-drop",
    "P5": "circpad-*",
    "P6": "circpad-intro-machine",
    "P7": "circpad-rend-machine",
    "O1": "intro-establish* intro-bad-* intro-other-key intro-trailing-bytes intro-cut-short",
    "O2": "intro-limit-*",
    "O3": "intro-establish",
    "O4": "introduce-1-*",
    "O5": "introduce-1-longest introduce-1-unknown-key",
    "O9": "rendezvous-*",
    "O10": "rendezvous-establish-on-a-client-link",
    "O11": "intro-the-same-key-on-another-circuit rendezvous-cookie-*",
    "O12": "intro-establish-legacy introduce-1-legacy",
    "X1": "circuit-flood*",
    "X2": "connection-crowd*",
    "X3": "connection-haste*",
    "X4": "stream-flood*",
    "X5": "circuit-queues-pushed-full",
    "X6": "rendezvous-establish-refused-on-a-client-link rendezvous-establish-behind-a-relay",
    "X7": "circuit-flood-of-a-relay circuit-flood-elsewhere",
    "X8": "intro-limit-*",
}
# What no answer to a scripted client shows, and where it is shown instead.
ELSEWHERE = {
    "C10 C11 C12 C13 C14 C15": "which cell goes first and what a full queue does: dataplane/sched, dataplane/worker/test_bounds.c",
    "R10": "suite edges counts the short cells",
    "F6 F12": "parameters and rates: dataplane tests",
    "E5 E6 E9 E13 E15": "the exit policy is each relay's own: controlplane/exit",
    "X9 X10 X11 X12": "C13 and C15, sockets and ports that run out, a log line: dataplane/worker, controlplane/main",
    "H10 H11": "overload: controlplane/handshake/test_pool.c",
    "P8 P9": "limits of the consensus, and statistics: dataplane/padding/test_padding.c, dataplane/link/test_link.c",
    "O6 O7 O8 O13 O14": "the directory side of onion services",
}


def _names(words, have):
    for word in words.split():
        found = [n for n in have if n == word or (word.endswith("*") and n.startswith(word[:-1]))]
        if not found:
            raise ValueError(f"no probe is called {word}")
        yield from found


def check():
    """Every rule has its probes, and every probe that is named is there."""
    have = [r.name for r in ROWS]
    twice = {n for n in have if have.count(n) > 1}
    if twice:
        raise ValueError(f"two probes are called {' '.join(sorted(twice))}")
    for rule, words in COVERED.items():
        if not list(_names(words, have)):
            raise ValueError(f"{rule} has no probe")
    known = set(COVERED) | set(" ".join(ELSEWHERE).split())
    lengths = {"C": 19, "R": 12, "F": 12, "E": 15, "H": 14, "P": 9, "O": 14, "X": 12}
    missing = [f"{k}{i}" for k, n in lengths.items() for i in range(1, n + 1) if f"{k}{i}" not in known]
    if missing:
        raise ValueError(f"rules without a probe: {' '.join(missing)}")
    return f"{len(have)} probes for {len(COVERED)} rules, {len(known) - len(COVERED)} rules shown elsewhere"
