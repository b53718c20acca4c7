"""Streams at an exit, name look-ups and directory requests."""
import struct
import torlink as t
from nodes import BY_NAME
from probes.frame import row, sending, stream_probe
from torlink import Closed, Refused, Silence


# ---- streams at the edge: the previous hop is a known relay ----


def begin(text, flags=None, stream=1):
    body = text.encode() + b"\0" + (struct.pack("!I", flags) if flags is not None else b"")
    return lambda c: c.send(t.BEGIN, stream, body)


DEST4, DEST6 = BY_NAME["dest"].v4, BY_NAME["dest"].v6


@row
def begin_name(w):
    return stream_probe(w, begin("v4.dest.test:80"))


@row
def begin_name_upper_case(w):
    return stream_probe(w, begin("V4.Dest.Test:80"))


@row
def begin_name_v6_without_flag(w):
    return stream_probe(w, begin("v6.dest.test:80"))


@row
def begin_name_v6(w):
    return stream_probe(w, begin("v6.dest.test:80", 1))


@row
def begin_name_prefers_v6(w):
    return stream_probe(w, begin("dest.test:80", 5))


@row
def begin_name_v4_not_ok(w):
    return stream_probe(w, begin("v4.dest.test:80", 3))


@row
def begin_flags_short(w):
    return stream_probe(w, lambda c: c.send(t.BEGIN, 1, b"dest.test:80\0\0\0\5"))


@row
def begin_literal_v4(w):
    return stream_probe(w, begin(f"{DEST4}:80"))


@row
def begin_literal_v6(w):
    return stream_probe(w, begin(f"[{DEST6}]:80", 1))


@row
def begin_literal_v6_without_flag(w):
    return stream_probe(w, begin(f"[{DEST6}]:80"))


@row
def begin_no_such_name(w):
    return stream_probe(w, begin("nowhere.test:80"))


@row(designed=("END(3)", "CONNECTREFUSED as tor-spec 6.3 says; tor reads a stale errno there: MISC", "END(1)"))
def begin_refused(w):
    return stream_probe(w, begin(f"{DEST4}:2"))


@row
def begin_port_zero(w):
    return stream_probe(w, begin(f"{DEST4}:0"))


@row
def begin_port_too_big(w):
    return stream_probe(w, begin(f"{DEST4}:65536"))


@row
def begin_without_port(w):
    return stream_probe(w, begin("dest.test"))


@row
def begin_without_nul(w):
    return stream_probe(w, lambda c: c.send(t.BEGIN, 1, b"dest.test:80"))


@row
def begin_empty(w):
    return stream_probe(w, lambda c: c.send(t.BEGIN, 1, b""))


@row
def begin_name_of_400_bytes(w):
    return stream_probe(w, begin("a" * 400 + ".test:80"))


@row
def begin_name_with_control_bytes(w):
    return stream_probe(w, begin("de\x01st.test:80"))


@row
def begin_to_a_relays_orport(w):
    return stream_probe(w, begin(f"{w.onward.v4}:9001"))


@row(designed=("END(8)", "the dataplane's own stack has no loopback"))
def begin_to_loopback(w):
    return stream_probe(w, begin("127.0.0.1:80"))


@row
def begin_twice(w):
    return stream_probe(w, begin("v4.dest.test:80"), begin("v4.dest.test:80"))


@row
def begin_end_begin_in_a_row(w):
    # One CONNECTED or two: whether the first look-up was answered from the cache before the END came.
    return stream_probe(w, begin("v4.dest.test:80"), sending(t.END, 1, b"\6"), begin("v4.dest.test:80")).split()[-1]


@row
def begin_data_in_a_row(w):
    return stream_probe(w, begin("v4.dest.test:80"), sending(t.DATA, 1, b"GET /10 HTTP/1.0\r\n\r\n"))


@row
def begin_to_the_peer_that_resets(w):
    return stream_probe(w, begin("v4.dest.test:8001"), sending(t.DATA, 1, b"x"))


@row
def begin_to_the_peer_that_ends(w):
    return stream_probe(w, begin("v4.dest.test:8002"), sending(t.DATA, 1, b"x"))


@row
def connected_on_an_open_stream(w):
    return stream_probe(w, begin("v4.dest.test:7"), lambda c: c.expect(t.CONNECTED), sending(t.CONNECTED, 1, b""))


@row
def resolved_on_an_open_stream(w):
    return stream_probe(w, begin("v4.dest.test:7"), lambda c: c.expect(t.CONNECTED), sending(t.RESOLVED, 1, b""))


@row
def end_without_body_on_an_open_stream(w):
    return stream_probe(w, begin("v4.dest.test:7"), lambda c: c.expect(t.CONNECTED), sending(t.END, 1, b""))


@row
def echo(w):
    return stream_probe(w, begin("v4.dest.test:7"), sending(t.DATA, 1, b"hello"), first_s=2)


@row
def stream_sendme_unexpected(w):
    return stream_probe(w, begin("v4.dest.test:7"), lambda c: c.expect(t.CONNECTED), sending(t.SENDME, 1, b""))


@row
def resolve_name(w):
    return stream_probe(w, lambda c: c.send(t.RESOLVE, 1, b"dest.test\0"))


@row
def resolve_v6_only_name(w):
    return stream_probe(w, lambda c: c.send(t.RESOLVE, 1, b"v6.dest.test\0"))


@row
def resolve_no_such_name(w):
    return stream_probe(w, lambda c: c.send(t.RESOLVE, 1, b"nowhere.test\0"))


@row
def resolve_literal(w):
    return stream_probe(w, lambda c: c.send(t.RESOLVE, 1, b"192.0.2.1\0"))


@row
def resolve_reverse(w):
    octets = ".".join(reversed(DEST4.split(".")))
    return stream_probe(w, lambda c: c.send(t.RESOLVE, 1, f"{octets}.in-addr.arpa".encode() + b"\0"))


@row
def resolve_empty(w):
    return stream_probe(w, lambda c: c.send(t.RESOLVE, 1, b""))


@row
def resolve_bad_reverse(w):
    return stream_probe(w, lambda c: c.send(t.RESOLVE, 1, b"300.1.1.1.in-addr.arpa\0"))


# ---- directory streams ----


def dir_probe(w, request, headers=("HTTP", "Content-Type", "Content-Encoding")):
    link, circ = w.edge()
    with link:
        circ.send(t.BEGIN_DIR, 1)
        circ.expect(t.CONNECTED)
        circ.send(t.DATA, 1, request)
        try:
            data, reason = circ.read_stream(1)
        except (Silence, Refused, Closed) as e:
            return f"{type(e).__name__} {e}"
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [x for x in head.decode("latin-1").split("\r\n") if x.startswith(headers)]
    return "; ".join(lines) + f"; body {bool(body)}; END {reason}"


def get(path, extra=""):
    return f"GET {path} HTTP/1.0\r\n{extra}\r\n".encode()


@row
def dir_own_descriptor(w):
    return dir_probe(w, get("/tor/server/authority"))


@row
def dir_unknown_url(w):
    return dir_probe(w, get("/tor/nothing"))


@row
def dir_root(w):
    return dir_probe(w, get("/"))


@row
def dir_unknown_method(w):
    return dir_probe(w, b"BREW /tor/server/authority HTTP/1.0\r\n\r\n")


@row
def dir_garbage(w):
    return dir_probe(w, b"\0\1\2\3\r\n\r\n")


@row
def dir_post(w):
    return dir_probe(w, b"POST /tor/ HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")


@row
def dir_consensus(w):
    return dir_probe(w, get("/tor/status-vote/current/consensus"))


@row
def dir_consensus_microdesc_deflate(w):
    return dir_probe(w, get("/tor/status-vote/current/consensus-microdesc", "Accept-Encoding: deflate\r\n"))


@row
def dir_consensus_many_encodings(w):
    return dir_probe(w, get("/tor/status-vote/current/consensus-microdesc.z",
                            "Accept-Encoding: gzip, x-tor-lzma, x-zstd, deflate, identity\r\n"))


@row
def dir_keys_all(w):
    return dir_probe(w, get("/tor/keys/all"))


@row
def dir_microdesc_unknown(w):
    return dir_probe(w, get("/tor/micro/d/" + "A" * 43))


@row
def dir_server_unknown(w):
    return dir_probe(w, get("/tor/server/fp/" + "A" * 40))


@row
def dir_robots(w):
    return dir_probe(w, get("/tor/robots.txt"))


@row
def dir_if_modified_since(w):
    return dir_probe(w, get("/tor/status-vote/current/consensus", "If-Modified-Since: Fri, 31 Dec 2032 00:00:00 GMT\r\n"))
