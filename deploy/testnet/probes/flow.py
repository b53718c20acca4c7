"""Congestion control, XON and XOFF, Counter Galois Onion with its messages, conflux."""
import os
import struct
import torlink as t
from probes.frame import after, collect, row, sending, stream_probe, told
from torlink import Refused

CC, CGO = t.Ntor3.CC, t.Ntor3.CC_CGO
ECHO = b"v4.dest.test:7\0"


def opened(*sends, message=CC, first_s=1.5):
    """A probe on a circuit that has an open stream 1 to the echo port."""
    def act(w):
        return stream_probe(w, sending(t.BEGIN, 1, ECHO), lambda c: c.expect(t.CONNECTED), *sends, first_s=first_s,
                            message=message)
    return act


def fetch(w, message, n):
    """n bytes over an exit stream: how many came, and after how many cells SENDMEs were due."""
    link, circ = w.edge(message)
    with link:
        circ.send(t.BEGIN, 1, b"v4.dest.test:80\0")
        circ.expect(t.CONNECTED)
        circ.send(t.DATA, 1, f"GET /{n} HTTP/1.0\r\n\r\n".encode())
        data, reason = circ.read_stream(1)
        layer, body = circ.layers[-1], data.partition(b"\r\n\r\n")[2]
        return f"{len(body)} bytes, END {reason}, {layer.name} increment {layer.increment}"


def upload(w, message, n):
    """n DATA cells for a stream that is not there: the SENDMEs for them, whose tags are those of our cells."""
    link, circ = w.edge(message)
    with link:
        layer, tags, out = circ.layers[-1], [], []
        for i in range(n):
            circ.send(t.DATA, 77, b"x" * 100)
            if (i + 1) % layer.increment == 0:
                tags.append(layer.sent_tag)
        for m in collect(circ, 1.5, 0.5):
            if isinstance(m, t.Message) and m.cmd == t.SENDME:
                good = tags and m.body == struct.pack("!BH", 1, layer.tag_len) + tags.pop(0)
                out.append("SENDME" if good else f"SENDME[{m.body.hex()}]")
            else:
                out.append(told([m]))
    return f"increment {layer.increment}: " + (" ".join(out) or "silence")


# ---- SENDMEs ----


@row
def sendme_of_fixed_windows(w):
    return upload(w, None, 201)


@row
def fetch_with_fixed_windows(w):
    return fetch(w, None, 1 << 20)


def unacknowledged(w, message, sendmes, first_s=1.5):
    """A large answer of which nothing is acknowledged, until the window is used up; then these SENDMEs."""
    link, circ = w.edge(message)
    with link:
        circ.auto_sendme, tags = False, []
        for stream in (1, 2, 3):
            circ.send(t.BEGIN, stream, b"v4.dest.test:80\0")
            circ.expect(t.CONNECTED)
        for stream in (1, 2, 3):
            circ.send(t.DATA, stream, b"GET /1048576 HTTP/1.0\r\n\r\n")
        layer = circ.layers[-1]
        seen = collect(circ, 4, 2)
        n = 0
        for m in seen:
            if isinstance(m, t.Message) and m.cmd == t.DATA:
                n += 1
                if n % layer.increment == 0:
                    tags.append(m.tag)
        for body in sendmes(layer, tags):
            circ.send(t.SENDME, 0, body)
        more = collect(circ, first_s, 1.2)
        k = sum(isinstance(m, t.Message) and m.cmd == t.DATA for m in more)
        rest = told([m for m in more if not (isinstance(m, t.Message) and m.cmd == t.DATA)])
        return f"{n} cells, then {k} more; {rest}"


def good(tag):
    return struct.pack("!BH", 1, len(tag)) + tag


@row
def sendme_good_ones(w):
    return unacknowledged(w, None, lambda layer, tags: [good(x) for x in tags[:2]])


@row
def sendme_version_0(w):
    return unacknowledged(w, None, lambda layer, tags: [b"", good(tags[1])])


@row
def sendme_out_of_order(w):
    return unacknowledged(w, None, lambda layer, tags: [good(tags[1])])


@row
def sendme_wrong_length(w):
    return unacknowledged(w, None, lambda layer, tags: [b"\1\0\x10" + tags[0][:16]])


@row
def sendme_more_bytes_behind(w):
    return unacknowledged(w, None, lambda layer, tags: [good(tags[0]) + b"more"])


@row
def sendme_tag_cut_short(w):
    return unacknowledged(w, None, lambda layer, tags: [good(tags[0])[:-1]])


@row
def sendme_version_2(w):
    return unacknowledged(w, None, lambda layer, tags: [b"\2" + good(tags[0])[1:]])


@row
def sendme_version_0_on_a_fast_circuit(w):
    with w.link() as link:
        circ = w.fast(link)
        circ.auto_sendme, n = False, 0
        for stream in range(1, 40):
            circ.send(t.BEGIN_DIR, stream)
            circ.send(t.DATA, stream, b"GET /tor/status-vote/current/consensus HTTP/1.0\r\n\r\n")
            n += sum(isinstance(m, t.Message) and m.cmd == t.DATA for m in collect(circ, 2, 0.1))
            if n >= 100:
                break
        circ.send(t.SENDME, 0, b"")
        return f"{n >= 100}: " + after(link)


# ---- congestion control ----


@row(needs="FlowCtrl=2")
def cc_upload(w):
    return upload(w, CC, 100)


@row(needs="FlowCtrl=2")
def cc_fetch(w):
    return fetch(w, CC, 1 << 20)


@row(needs="FlowCtrl=2")
def cc_begin_dir(w):
    return stream_probe(w, sending(t.BEGIN_DIR, 1), sending(t.DATA, 1, b"GET /tor/nothing HTTP/1.0\r\n\r\n"), message=CC)


@row(needs="FlowCtrl=2")
def cc_initial_window(w):
    return unacknowledged(w, CC, lambda layer, tags: [])


@row(needs="FlowCtrl=2")
def cc_sendme_version_0(w):
    return unacknowledged(w, CC, lambda layer, tags: [b"", b"", b""]).split(";")[1]


@row(needs="FlowCtrl=2")
def cc_sendme_out_of_order(w):
    return unacknowledged(w, CC, lambda layer, tags: [good(tags[1])])


@row(needs="FlowCtrl=2")
def cc_sendme_too_many(w):
    return unacknowledged(w, CC, lambda layer, tags: [good(x) for x in tags] + [good(bytes(20))] * 40).split(";")[1]


@row(needs="FlowCtrl=2")
def cc_sendme_unexpected(w):
    return stream_probe(w, sending(t.SENDME, 0, good(bytes(20))), message=CC, first_s=1)


@row(needs="FlowCtrl=2")
def cc_stream_sendme(w):
    return opened(sending(t.SENDME, 1, b""))(w)


@row(needs="FlowCtrl=2")
def cc_stream_sendme_for_nobody(w):
    return opened(sending(t.SENDME, 9, b""))(w)


@row(needs="FlowCtrl=2")
def cc_data_beyond_every_window(w):
    told_all = stream_probe(w, *[sending(t.DATA, 77, b"a")] * 1600, message=CC, show=False)
    return f"{told_all.count('SENDME')} SENDMEs, then {told_all.replace('SENDME', '').strip() or 'silence'}"


XOFF, XON = b"\0", b"\0\0\0\0\0"


@row(needs="FlowCtrl=2")
def xoff_and_xon(w):
    return opened(sending(t.XOFF, 1, XOFF), sending(t.DATA, 1, b"kept"), lambda c: collect(c, 0.5), sending(t.XON, 1, XON))(w)


@row(needs="FlowCtrl=2")
def xoff_stops_the_stream(w):
    return opened(sending(t.XOFF, 1, XOFF), sending(t.DATA, 1, b"kept"))(w)


@row(needs="FlowCtrl=2")
def xoff_twice(w):
    return opened(sending(t.XOFF, 1, XOFF), sending(t.XOFF, 1, XOFF), sending(t.XON, 1, XON), sending(t.DATA, 1, b"on"))(w)


@row(needs="FlowCtrl=2")
def xon_without_xoff(w):
    return opened(sending(t.XON, 1, XON), sending(t.DATA, 1, b"on"))(w)


@row(needs="FlowCtrl=2")
def xon_with_a_rate(w):
    return opened(sending(t.XON, 1, b"\0\0\0\0\1"), sending(t.DATA, 1, b"on"))(w)


@row(needs="FlowCtrl=2")
def xon_with_the_greatest_rate(w):
    return opened(sending(t.XON, 1, b"\0\xff\xff\xff\xff"), sending(t.DATA, 1, b"on"))(w)


@row(needs="FlowCtrl=2")
def xoff_of_version_1(w):
    return opened(sending(t.XOFF, 1, b"\1"), sending(t.DATA, 1, b"on"))(w)


@row(needs="FlowCtrl=2")
def xoff_empty(w):
    return opened(sending(t.XOFF, 1, b""), sending(t.DATA, 1, b"on"))(w)


@row(needs="FlowCtrl=2")
def xon_cut_short(w):
    return opened(sending(t.XON, 1, b"\0\0\0\0"), sending(t.DATA, 1, b"on"))(w)


@row(needs="FlowCtrl=2")
def xon_of_version_1(w):
    return opened(sending(t.XON, 1, b"\1\0\0\0\0"), sending(t.DATA, 1, b"on"))(w)


@row(needs="FlowCtrl=2")
def xoff_for_nobody(w):
    return opened(sending(t.XOFF, 9, XOFF), sending(t.XON, 9, XON), sending(t.DATA, 1, b"on"))(w)


@row(needs="FlowCtrl=2")
def xoff_on_stream_0(w):
    return opened(sending(t.XOFF, 0, XOFF), sending(t.XON, 0, XON), sending(t.DATA, 1, b"on"))(w)


@row
def xoff_without_congestion_control(w):
    return opened(sending(t.XOFF, 1, XOFF), sending(t.DATA, 1, b"on"), message=None)(w)


@row
def xon_without_congestion_control(w):
    return opened(sending(t.XON, 1, XON), sending(t.DATA, 1, b"on"), message=None)(w)


@row(needs="FlowCtrl=2")
def xoff_before_connected(w):
    return stream_probe(w, sending(t.BEGIN, 1, b"v4.dest.test:7\0"), sending(t.XOFF, 1, XOFF), sending(t.XON, 1, XON),
                        sending(t.DATA, 1, b"on"), message=CC)


@row(needs="FlowCtrl=2")
def xoff_on_a_directory_stream(w):
    return stream_probe(w, sending(t.BEGIN_DIR, 1), lambda c: c.expect(t.CONNECTED), sending(t.XOFF, 1, XOFF),
                        sending(t.XON, 1, XON), sending(t.DATA, 1, b"GET /tor/nothing HTTP/1.0\r\n\r\n"), message=CC)


# ---- Counter Galois Onion ----


def cgo_probe(*sends, first_s=1.0):
    return lambda w: stream_probe(w, *sends, message=CGO, first_s=first_s)


@row(needs="Relay=6")
def cgo_begin_dir(w):
    return cgo_probe(sending(t.BEGIN_DIR, 1), sending(t.DATA, 1, b"GET /tor/nothing HTTP/1.0\r\n\r\n"))(w)


@row(needs="Relay=6")
def cgo_fetch(w):
    return fetch(w, CGO, 1 << 20)


@row(needs="Relay=6")
def cgo_upload(w):
    return upload(w, CGO, 100)


@row(needs="Relay=6")
def cgo_at_the_first_hop(w):
    with w.link() as link:
        circ = link.circuit(w.target).create(t.Ntor3(w.target, CGO))
        circ.send(t.BEGIN_DIR, 1)
        return after(link, 0.4, 1)


@row(needs="Relay=6")
def cgo_extend(w):
    """Behind a CGO hop one of each kind."""
    out = []
    for message in (None, CC, CGO):
        with w.link() as link:
            circ = link.circuit(w.target).create(t.Ntor3(w.target, CGO))
            circ.extend(w.onward, t.Ntor3(w.onward, message) if message else None)
            circ.send(t.BEGIN_DIR, 1)
            circ.send(t.DROP, 0, b"", hop=0)
            circ.send(t.DROP, 0, b"", hop=1, early=True)
            out.append(link.observe(0.4, 1))
    return ", ".join(out)


@row(needs="Relay=6")
def cgo_truncate(w):
    with w.link() as link:
        circ = link.circuit(w.target).create(t.Ntor3(w.target, CGO)).extend(w.onward)
        circ.send(t.TRUNCATE, 0, b"\1", hop=0)
        return link.observe(0.4, 1)


@row(needs="Relay=6")
def cgo_early_and_not(w):
    return cgo_probe(sending(t.DROP, 0, b"", early=True), sending(t.DROP, 0, b""), sending(t.DROP, 0, b"", early=True),
                     sending(t.BEGIN_DIR, 1))(w)


@row(needs="Relay=6")
def cgo_early_made_late(w):
    """The link command is in the tweak: a RELAY cell that says RELAY_EARLY is garbage."""
    def act(c):
        cell = bytearray(c.seal(t.DROP, 0, b""))
        cell[4] = t.RELAY_EARLY
        c.link.send_raw(bytes(cell))
    with w.link() as link:
        circ = link.circuit(w.target).create(t.Ntor3(w.target, CGO))
        act(circ)
        return after(link)


@row(needs="Relay=6")
def cgo_garbage(w):
    with w.link() as link:
        circ = link.circuit(w.target).create(t.Ntor3(w.target, CGO))
        link.send(circ.id, t.RELAY, os.urandom(509))
        return after(link)


@row(needs="Relay=6")
def cgo_unknown_commands(w):
    out = []
    for cmd in (0, 77, 200, 255):
        out.append(cgo_probe(sending(cmd, 0, b"x"))(w))
    return ", ".join(out)


@row(needs="Relay=6")
def cgo_lengths(w):
    out = []
    for cmd, n in ((t.DROP, 490), (t.DROP, 491), (t.DATA, 488), (t.DATA, 489), (t.DROP, 65535)):
        out.append(cgo_probe(sending(cmd, 5, b"", length=n), sending(t.BEGIN_DIR, 1))(w))
    return ", ".join(out)


@row(needs="Relay=6")
def cgo_zero_stream_ids(w):
    return cgo_probe(*[sending(cmd, 0, b"\6") for cmd in (t.BEGIN, t.BEGIN_DIR, t.CONNECTED, t.END, t.RESOLVE, t.RESOLVED)],
                     sending(t.BEGIN_DIR, 1))(w)


@row(needs="Relay=6")
def cgo_sendme_unexpected(w):
    return cgo_probe(sending(t.SENDME, 0, b"\1\0\x10" + bytes(16)))(w)


@row(needs="Relay=6")
def cgo_sendme_of_tor1_length(w):
    return unacknowledged(w, CGO, lambda layer, tags: [b"\1\0\x14" + tags[0] + bytes(4)]).split(";")[1]


@row(needs="Relay=6")
def cgo_sendme_out_of_order(w):
    return unacknowledged(w, CGO, lambda layer, tags: [good(tags[1])])


@row(needs="Relay=6")
def cgo_messages_of_old(w):
    return ", ".join(cgo_probe(sending(cmd, 0, bytes(60)))(w) for cmd in (t.EXTEND, t.EXTENDED, t.EXTENDED2, t.TRUNCATED))


@row(needs="Relay=6")
def cgo_begin_to_the_exit(w):
    return cgo_probe(sending(t.BEGIN, 1, ECHO), sending(t.DATA, 1, b"hello"), first_s=2)(w)


@row(needs="Relay=6")
def cgo_resolve(w):
    return cgo_probe(sending(t.RESOLVE, 1, b"dest.test\0"), first_s=2)(w)


@row(needs="Relay=6")
def cgo_xoff_and_xon(w):
    return opened(sending(t.XOFF, 1, XOFF), sending(t.DATA, 1, b"kept"), lambda c: collect(c, 0.5), sending(t.XON, 1, XON),
                  message=CGO)(w)


# ---- conflux ----


def linking(nonce, ux=3, sent=0, received=0, version=1):
    return struct.pack("!B32sQQB", version, nonce, sent, received, ux)


def alone(w, *sends, message=CC, first_s=1.0):
    """What a single leg is answered."""
    return stream_probe(w, *sends, message=message, first_s=first_s)


def bare(text):
    """Without what a set's nonce and the relay's own numbers are."""
    return text.split("[")[0]


@row
def conflux_link_without_congestion_control(w):
    return alone(w, sending(t.CONFLUX_LINK, 0, linking(os.urandom(32))), message=None)


@row(needs="Conflux=1")
def conflux_link(w):
    nonce = os.urandom(32)
    link, circ = w.edge(CC)
    with link:
        circ.send(t.CONFLUX_LINK, 0, linking(nonce))
        m = circ.expect(t.CONFLUX_LINKED)
        v, n, sent, received, ux = struct.unpack("!B32sQQB", m.body[:50])
        return f"version {v} nonce {n == nonce} sent {sent} received {received} ux {ux} more {len(m.body) - 50}"


@row(needs="Conflux=1")
def conflux_link_malformed(w):
    nonce, out = os.urandom(32), []
    for body in (linking(nonce, version=0), linking(nonce, version=2), linking(nonce, ux=5), linking(nonce, ux=255),
                 linking(nonce)[:-1], b"", linking(nonce) + b"more", linking(bytes(32))):
        out.append(bare(alone(w, sending(t.CONFLUX_LINK, 0, body))))
    return ", ".join(out)


@row(needs="Conflux=1")
def conflux_link_twice(w):
    body = linking(os.urandom(32))
    return bare(alone(w, sending(t.CONFLUX_LINK, 0, body), lambda c: c.expect(t.CONFLUX_LINKED), sending(t.CONFLUX_LINK, 0, body)))


@row(needs="Conflux=1")
def conflux_link_with_streams(w):
    return bare(opened(sending(t.CONFLUX_LINK, 0, linking(os.urandom(32))))(w))


@row(needs="Conflux=1")
def conflux_messages_without_a_set(w):
    return ", ".join(alone(w, sending(cmd, 0, body)) for cmd, body in (
        (t.CONFLUX_LINKED, linking(os.urandom(32))), (t.CONFLUX_LINKED_ACK, b""), (t.CONFLUX_SWITCH, b"\0\0\0\1")))


def pair_of_legs(w, act, message=CC):
    """Two legs joined in a set; act(first, second); what each of them gets then."""
    nonce, legs, out = os.urandom(32), [], []
    for over in ("r2", "r1"):
        legs.append(w.edge(message, over=over))
    try:
        for _, circ in legs:
            circ.send(t.CONFLUX_LINK, 0, linking(nonce))
            circ.expect(t.CONFLUX_LINKED)
            circ.send(t.CONFLUX_LINKED_ACK, 0, b"")
        act(legs[0][1], legs[1][1])
        for _, circ in legs:
            out.append(told([m for m in collect(circ, 1, 0.4) if not (isinstance(m, t.Message) and m.cmd == t.CONFLUX_SWITCH)]))
    except Refused as e:
        out.append(f"refused {e}")
    finally:
        for link, _ in legs:
            link.__exit__()
    return " | ".join(out)


@row(needs="Conflux=1")
def conflux_begin_dir_on_a_set(w):
    return pair_of_legs(w, lambda a, b: a.send(t.BEGIN_DIR, 1))


@row(needs="Conflux=1")
def conflux_begin_and_echo(w):
    def act(a, b):
        a.send(t.BEGIN, 1, ECHO)
        a.send(t.DATA, 1, b"hello")
    return " ".join(sorted(pair_of_legs(w, act).replace("|", "").split()))


@row(needs="Conflux=1")
def conflux_out_of_order(w):
    """DATA over the second leg overtakes BEGIN: it waits for its number."""
    def act(a, b):
        b.send(t.CONFLUX_SWITCH, 0, struct.pack("!I", 1))
        b.send(t.DATA, 1, b"hello")
        a.send(t.BEGIN, 1, ECHO)
    return " ".join(sorted(pair_of_legs(w, act).replace("|", "").split()))


@row(needs="Conflux=1")
def conflux_a_number_again(w):
    """The second leg says what the first has said already."""
    def act(a, b):
        a.send(t.BEGIN, 1, ECHO)
        collect(a, 1, 0.2)
        b.send(t.END, 1, b"\6")
    return " ".join(sorted(pair_of_legs(w, act).replace("|", "").split()))


@row(needs="Conflux=1")
def conflux_leg_leaves(w):
    return pair_of_legs(w, lambda a, b: b.destroy())


@row(needs="Conflux=1")
def conflux_switch_malformed(w):
    return pair_of_legs(w, lambda a, b: a.send(t.CONFLUX_SWITCH, 0, b"\0\0\1"))


@row(needs="Conflux=1")
def conflux_ack_again(w):
    return pair_of_legs(w, lambda a, b: a.send(t.CONFLUX_LINKED_ACK, 0, b""))
