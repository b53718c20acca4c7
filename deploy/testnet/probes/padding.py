"""Padding of links and of circuits."""
import time
import torlink as t
from probes.frame import after, cell_probe, collect, row, sending, stream_probe, told
from torlink import Closed, Silence

# ---- circuits ----


def padded(things):
    """As told, but a run of DROPs only by its length: which of seven to nine is drawn by lot."""
    out = []
    for m in things:
        if isinstance(m, t.Message) and m.cmd == t.DROP:
            if not (out and isinstance(out[-1], int)):
                out.append(0)
            out[-1] += 1
        else:
            out.append(told([m]))
    return " ".join(("DROP x 7-9" if 7 <= m <= 9 else f"DROP x {m}") if isinstance(m, int) else m for m in out) or "silence"


def word(command, machine, counter, version=0, echo=0, more=b""):
    body = bytes([version, command, machine, echo]) + counter.to_bytes(4, "big") + more
    return lambda c: c.send(t.CIRC_NEGOTIATE, 0, body)


def start(machine, counter=1, **how):
    return word(2, machine, counter, **how)


def stop(machine, counter=1, **how):
    return word(1, machine, counter, **how)


def quiet(seconds):
    return lambda c: time.sleep(seconds)


def machine_probe(w, *acts, message=None):
    link, circ = w.edge(message)
    with link:
        for act in acts:
            act(circ)
        return padded(collect(circ, 1, 0.5))


@row
def circpad_intro_machine(w):
    return machine_probe(w, start(0))


@row
def circpad_rend_machine(w):
    return machine_probe(w, start(1), sending(t.DROP))


@row
def circpad_on_a_client_link(w):
    with w.link() as link:
        circ = w.fast(link)
        start(0)(circ)
        return padded(collect(circ, 1, 0.5))


@row
def circpad_unknown_machines(w):
    return machine_probe(w, start(2), start(255, 9))


@row
def circpad_stop_of_nothing(w):
    return machine_probe(w, stop(0), stop(0, 0), stop(1, 7), stop(99))


@row
def circpad_stop_at_once(w):
    def act(c):
        c.link.send_raw(c.seal(t.CIRC_NEGOTIATE, 0, b"\0\2\0\0\0\0\0\1") + c.seal(t.CIRC_NEGOTIATE, 0, b"\0\1\0\0\0\0\0\1"))
    return machine_probe(w, act)


@row
def circpad_stop_of_an_ended_machine(w):
    return machine_probe(w, start(0), quiet(0.5), stop(0))


@row
def circpad_stop_of_a_machine_at_its_end(w):
    return machine_probe(w, start(1), quiet(0.5), stop(1), stop(1))


@row
def circpad_stop_of_another_start(w):
    return machine_probe(w, start(1), quiet(0.5), stop(1, 2), stop(1, 1))


@row
def circpad_stop_of_whichever(w):
    return machine_probe(w, start(1), quiet(0.5), stop(1, 0))


@row
def circpad_one_after_the_other(w):
    return machine_probe(w, start(0), quiet(0.6), start(1, 2), quiet(0.3), stop(1, 2), start(0, 3))


@row
def circpad_two_at_once(w):
    return machine_probe(w, start(1), quiet(0.3), start(0, 2))


@row
def circpad_counter_of_the_client(w):
    return machine_probe(w, start(1, 0xfffffffe), quiet(0.3), stop(1, 0xfffffffe), stop(1, 1))


@row
def circpad_malformed(w):
    return machine_probe(w, start(0, version=1), word(0, 0, 1), word(3, 0, 1), start(0, echo=2),
                         lambda c: c.send(t.CIRC_NEGOTIATE, 0, b"\0\2\0\0\0\0\0"), lambda c: c.send(t.CIRC_NEGOTIATE, 0, b""))


@row
def circpad_echo_and_more_bytes(w):
    return machine_probe(w, start(1, echo=1, more=b"what else"))


@row
def circpad_on_a_stream(w):
    return machine_probe(w, lambda c: c.send(t.CIRC_NEGOTIATE, 77, b"\0\2\1\0\0\0\0\1"))


@row
def circpad_negotiated_from_a_client(w):
    return cell_probe(w, sending(t.CIRC_NEGOTIATED, 0, b"\0\2\1\0\0\0\0\1"))


@row
def circpad_beside_a_stream(w):
    """What comes besides, in its order; each cell of the stream may put a DROP off."""
    link, circ = w.edge()
    with link:
        start(0)(circ)
        circ.send(t.BEGIN_DIR, 1)
        circ.send(t.DATA, 1, b"GET /tor/nothing HTTP/1.0\r\n\r\n")
        things = collect(circ, 1, 0.5)
    n = sum(isinstance(m, t.Message) and m.cmd == t.DROP for m in things)
    rest = [m for m in things if not (isinstance(m, t.Message) and m.cmd in (t.DROP, t.CIRC_NEGOTIATED))]
    return f"{told(rest)}; DROPs ok {7 <= n <= 9}; last {padded(things).split()[-1]}"


@row
def circpad_on_a_middle(w):
    """The target is the first of two hops, as a client's second hop is."""
    with w.link() as link:
        circ = link.circuit(w.target).create_ntor().extend(w.onward)
        circ.send(t.CIRC_NEGOTIATE, 0, b"\0\2\0\0\0\0\0\1", hop=0)
        circ.send(t.BEGIN_DIR, 1)
        things = collect(circ, 1, 0.6)
    return f"{padded([m for m in things if m.hop == 0])}; from behind {told([m for m in things if m.hop == 1])}"


@row(needs="Relay=6")
def circpad_on_a_cgo_circuit(w):
    return machine_probe(w, start(0), quiet(0.6), start(1, 2), message=t.Ntor3.CC_CGO)


# ---- links ----

SILENT_S = 11.6  # nf_ito_high, and a second's look of C tor


def silence_probe(w, act, versions=(3, 4, 5), seconds=SILENT_S):
    """Is there PADDING on a link on which nothing moves after act?"""
    with w.raw() as link:
        link.handshake(versions)
        act(link)
        n, limit = 0, time.monotonic() + seconds
        while time.monotonic() < limit:
            try:
                cell = link.recv(limit - time.monotonic())
            except Silence:
                break
            except Closed as e:
                return f"closed: {e}"
            n += cell.cmd == t.PADDING
        return f"PADDING {bool(n)}"


def two_hops(w):
    def act(link):
        circ = link.circuit(w.target).create_ntor().extend(w.onward)
        circ.send(t.DROP, 0, b"", early=True)
    return act


@row
def netflow_padding(w):
    return silence_probe(w, two_hops(w))


@row
def netflow_without_a_circuit(w):
    return silence_probe(w, lambda link: None)


@row
def netflow_one_hop_only(w):
    def act(link):
        circ = w.fast(link)
        circ.send(t.BEGIN_DIR, 1)
        circ.expect(t.CONNECTED)
        circ.send(t.DROP, 0, b"", early=True)
    return silence_probe(w, act)


@row
def netflow_on_version_4(w):
    return silence_probe(w, two_hops(w), versions=(4,))


@row
def netflow_stopped(w):
    def act(link):
        two_hops(w)(link)
        link.send(0, t.PADDING_NEGOTIATE, b"\0\1\0\0\0\0")
    return silence_probe(w, act)


@row
def netflow_started_again(w):
    def act(link):
        two_hops(w)(link)
        link.send(0, t.PADDING_NEGOTIATE, b"\0\1\0\0\0\0")
        link.send(0, t.PADDING_NEGOTIATE, b"\0\2\0\0\0\0")
    return silence_probe(w, act)


@row
def netflow_asked_to_be_rare(w):
    def act(link):
        two_hops(w)(link)
        link.send(0, t.PADDING_NEGOTIATE, b"\0\2" + (30000).to_bytes(2, "big") * 2)
    return silence_probe(w, act)


@row
def netflow_asked_to_be_dense(w):
    """A tenth of a second is what the client wants; not before 1.5 s is what it gets."""
    def act(link):
        two_hops(w)(link)
        link.send(0, t.PADDING_NEGOTIATE, b"\0\2\0\x64\0\xc8")
    return silence_probe(w, act, seconds=1.3)


@row
def netflow_malformed_stop(w):
    def act(link):
        two_hops(w)(link)
        link.send(0, t.PADDING_NEGOTIATE, b"\1\1\0\0\0\0")
        link.send(0, t.PADDING_NEGOTIATE, b"\0\3\0\0\0\0")
    return silence_probe(w, act)


@row
def netflow_what_comes_in_counts(w):
    """A client that says something every second is not padded: nothing is idle."""
    def act(link):
        two_hops(w)(link)
        for _ in range(10):
            time.sleep(1)
            link.send(0, t.PADDING)
    return silence_probe(w, act, seconds=0.2)


# ---- what stands behind a message ----


def tail_of(w, message):
    link, circ = w.edge(message)
    with link:
        circ.send(t.BEGIN_DIR, 1)
        m = circ.expect(t.CONNECTED)
    return f"zeros {m.tail[:4].hex()}, then random {len(set(m.tail[4:])) > 100}, {len(m.tail)} bytes"


@row
def padding_bytes_of_a_message(w):
    return tail_of(w, None)


@row(needs="Relay=6")
def padding_bytes_of_a_cgo_message(w):
    return tail_of(w, t.Ntor3.CC_CGO)


@row
def negotiated_message_on_a_cc_circuit(w):
    return stream_probe(w, start(255, 3), message=t.Ntor3.CC)


@row
def padding_cells_with_a_circuit_id(w):
    with w.link() as link:
        circ = w.fast(link)
        link.send(circ.id, t.PADDING)
        link.send(circ.id, t.PADDING_NEGOTIATE, b"\0\1\0\0\0\0")
        return after(link)
