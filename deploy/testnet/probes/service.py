"""Introduction and rendezvous points."""
import os
import time
import torlink as t
from probes.frame import cell_probe, collect, row, sending, stream_probe, told
from torlink import Refused


# ---- onion-service points ----


@row
def rendezvous_establish(w):
    return stream_probe(w, sending(t.ESTABLISH_RENDEZVOUS, 0, os.urandom(20)))


@row
def rendezvous_establish_short(w):
    return stream_probe(w, sending(t.ESTABLISH_RENDEZVOUS, 0, os.urandom(19)))


@row
def rendezvous_establish_twice(w):
    cookie = os.urandom(20)
    return stream_probe(w, sending(t.ESTABLISH_RENDEZVOUS, 0, cookie), lambda c: c.expect(t.RENDEZVOUS_ESTABLISHED),
                        sending(t.ESTABLISH_RENDEZVOUS, 0, cookie))


@row
def rendezvous_1_unknown_cookie(w):
    return stream_probe(w, sending(t.RENDEZVOUS1, 0, os.urandom(84)))


@row
def rendezvous_1_short(w):
    return stream_probe(w, sending(t.RENDEZVOUS1, 0, b"abc"))


@row
def rendezvous_2_from_a_client(w):
    return stream_probe(w, sending(t.RENDEZVOUS2, 0, bytes(64)), first_s=1)


@row
def rendezvous_join(w):
    """Two circuits meet at the target, each with the other end's cells crossing."""
    cookie = os.urandom(20)
    link_a, client = w.edge()
    link_b, service = w.edge()
    with link_a, link_b:
        client.send(t.ESTABLISH_RENDEZVOUS, 0, cookie)
        client.expect(t.RENDEZVOUS_ESTABLISHED)
        service.send(t.RENDEZVOUS1, 0, cookie + b"H" * 64)
        met = client.expect(t.RENDEZVOUS2)
        # A cell that only the service's end could read crosses the splice under the target's own layer.
        client.link.send(client.id, t.RELAY, os.urandom(509))
        crossed = service.recv(5)
        service.destroy()
        end = client.recv(5)
        return f"RENDEZVOUS2 {met.body.hex()[:8]} {len(met.body)}, service got {crossed}, client then {end}"


@row
def intro_establish_garbage(w):
    return stream_probe(w, sending(t.ESTABLISH_INTRO, 0, os.urandom(140)), first_s=1)


@row
def intro_establish_legacy(w):
    return stream_probe(w, sending(t.ESTABLISH_INTRO, 0, b"\0\x80" + bytes(180)), first_s=1)


@row
def introduce_1_unknown_key(w):
    return stream_probe(w, sending(t.INTRODUCE1, 0, bytes(20) + b"\2\0\x20" + os.urandom(32) + b"\0" + bytes(100)))


@row
def introduce_1_legacy(w):
    return stream_probe(w, sending(t.INTRODUCE1, 0, b"\1" * 20 + bytes(100)))


@row
def introduce_1_short(w):
    return stream_probe(w, sending(t.INTRODUCE1, 0, b"abc"))


@row
def introduce_1_too_long(w):
    return stream_probe(w, sending(t.INTRODUCE1, 0, bytes(20) + b"\2\0\x20" + os.urandom(32) + b"\0" + bytes(435)))


@row
def introduce_1_twice(w):
    body = bytes(20) + b"\2\0\x20" + os.urandom(32) + b"\0" + bytes(100)
    return stream_probe(w, sending(t.INTRODUCE1, 0, body), lambda c: c.expect(t.INTRODUCE_ACK),
                        sending(t.INTRODUCE1, 0, body))


@row
def introduce_1_on_a_client_link(w):
    body = bytes(20) + b"\2\0\x20" + os.urandom(32) + b"\0" + bytes(100)
    return cell_probe(w, sending(t.INTRODUCE1, 0, body), first_s=1)


# ---- rendezvous points, between two circuits ----


def pair(w, how_a=None, how_b=None):
    """A client that waits at the target with a cookie, and a service's circuit to it; their links close with `with`. They
    come over different relays: of two DESTROYs that C tor has for one idle link, one waits for the next cell."""
    cookie = os.urandom(20)
    link_a, client = w.edge(how_a)
    link_b, service = w.edge(how_b, over="r1")
    client.send(t.ESTABLISH_RENDEZVOUS, 0, cookie)
    client.expect(t.RENDEZVOUS_ESTABLISHED)
    return link_a, link_b, client, service, cookie


def joined_probe(w, act, body=b"H" * 64, how_a=None, how_b=None, meet=True):
    """act(client, service) once they are joined; what each of them then gets."""
    link_a, link_b, client, service, cookie = pair(w, how_a, how_b)
    with link_a, link_b:
        service.send(t.RENDEZVOUS1, 0, cookie + body)
        met = client.expect(t.RENDEZVOUS2).body if meet else b""
        act(client, service)
        return f"met {met == body}; client {told(collect(client, 1, 0.3))}; service {told(collect(service, 0.3, 0.3))}"


def crossing(one, early=False):
    """A cell that only the far end could read."""
    one.link.send(one.id, t.RELAY_EARLY if early else t.RELAY, os.urandom(509))


def told_crossing(text):
    """What crossed cannot be read: its bytes are drawn at random."""
    import re
    return re.sub(r"UNRECOGNIZED\[\d+:[0-9a-f]+\]", "UNRECOGNIZED", text)


@row
def rendezvous_cell_at_once_behind(w):
    """The client's BEGIN follows RENDEZVOUS2 at once: two cells each way, before anything else is waited for."""
    def act(client, service):
        for one in (client, service, client, service):
            crossing(one)
    return told_crossing(joined_probe(w, act))


@row
def rendezvous_cells_before_it_is_heard(w):
    """The service sends behind its RENDEZVOUS1 without waiting."""
    link_a, link_b, client, service, cookie = pair(w)
    with link_a, link_b:
        service.link.send_raw(service.seal(t.RENDEZVOUS1, 0, cookie + b"H" * 64) +
                              t.pack(service.id, t.RELAY, os.urandom(509)))
        return told_crossing(told(collect(client, 2, 0.4)) + " / " + told(collect(service, 0.3, 0.3)))


@row
def rendezvous_early_cell_crosses(w):
    return told_crossing(joined_probe(w, lambda client, service: (crossing(client, True), crossing(service, True))))


@row
def rendezvous_empty_body(w):
    return joined_probe(w, lambda client, service: None, body=b"")


@row
def rendezvous_longest_body(w):
    return joined_probe(w, lambda client, service: None, body=b"L" * 478)


@row
def rendezvous_client_leaves(w):
    return joined_probe(w, lambda client, service: client.destroy())


@row
def rendezvous_service_leaves(w):
    return joined_probe(w, lambda client, service: service.destroy())


@row
def rendezvous_messages_on_a_joined_circuit(w):
    """To the rendezvous point itself: padding and unknown ones are dropped."""
    return joined_probe(w, lambda client, service: (client.send(t.DROP), service.send(77, 0, b"x"), client.send(t.XON)))


@row
def rendezvous_join_twice(w):
    def act(client, service):
        service.send(t.RENDEZVOUS1, 0, os.urandom(84))
    return joined_probe(w, act)


@row
def rendezvous_establish_on_a_joined_circuit(w):
    return joined_probe(w, lambda client, service: client.send(t.ESTABLISH_RENDEZVOUS, 0, os.urandom(20)))


@row
def rendezvous_introduce_on_a_joined_circuit(w):
    body = bytes(20) + b"\2\0\x20" + os.urandom(32) + b"\0" + bytes(100)
    return joined_probe(w, lambda client, service: service.send(t.INTRODUCE1, 0, body))


@row
def rendezvous_begin_dir_on_a_joined_circuit(w):
    return joined_probe(w, lambda client, service: client.send(t.BEGIN_DIR, 1))


@row
def rendezvous_begin_on_a_waiting_circuit(w):
    return stream_probe(w, sending(t.ESTABLISH_RENDEZVOUS, 0, os.urandom(20)), lambda c: c.expect(t.RENDEZVOUS_ESTABLISHED),
                        sending(t.BEGIN, 1, b"v4.dest.test:7\0"))


@row
def rendezvous_begin_dir_on_a_waiting_circuit(w):
    return stream_probe(w, sending(t.ESTABLISH_RENDEZVOUS, 0, os.urandom(20)), lambda c: c.expect(t.RENDEZVOUS_ESTABLISHED),
                        sending(t.BEGIN_DIR, 1))


@row
def rendezvous_extend_a_waiting_circuit(w):
    return stream_probe(w, sending(t.ESTABLISH_RENDEZVOUS, 0, os.urandom(20)), lambda c: c.expect(t.RENDEZVOUS_ESTABLISHED),
                        sending(t.EXTEND2, 0, t.extend2(w.onward, t.Ntor(w.onward)), early=True), show=False)


@row
def rendezvous_1_with_itself(w):
    cookie = os.urandom(20)
    return stream_probe(w, sending(t.ESTABLISH_RENDEZVOUS, 0, cookie), lambda c: c.expect(t.RENDEZVOUS_ESTABLISHED),
                        sending(t.RENDEZVOUS1, 0, cookie + bytes(64)))


@row
def rendezvous_cookie_of_another(w):
    link_a, link_b, _, other, cookie = pair(w)
    with link_a, link_b:
        other.send(t.ESTABLISH_RENDEZVOUS, 0, cookie)
        return told(collect(other, 2))


@row
def rendezvous_cookie_again_when_it_is_free(w):
    link_a, link_b, client, service, cookie = pair(w)
    with link_a, link_b:
        service.send(t.RENDEZVOUS1, 0, cookie + b"H" * 64)
        client.expect(t.RENDEZVOUS2)
        link, third = w.edge()
        with link:
            third.send(t.ESTABLISH_RENDEZVOUS, 0, cookie)
            return told(collect(third, 2))


@row
def rendezvous_client_gone_before(w):
    link_a, link_b, client, service, cookie = pair(w)
    with link_a, link_b:
        client.destroy()
        time.sleep(0.3)
        service.send(t.RENDEZVOUS1, 0, cookie + b"H" * 64)
        return told(collect(service, 2))


@row
def rendezvous_establish_on_a_client_link(w):
    return cell_probe(w, sending(t.ESTABLISH_RENDEZVOUS, 0, os.urandom(20)), first_s=1)


@row
def rendezvous_1_on_an_extended_circuit(w):
    with w.link() as link:
        circ = link.circuit(w.target).create_ntor().extend(w.onward)
        circ.send(t.RENDEZVOUS1, 0, os.urandom(84), hop=0)
        return link.observe(0.4, 1)


@row
def rendezvous_establish_on_an_extended_circuit(w):
    with w.link() as link:
        circ = link.circuit(w.target).create_ntor().extend(w.onward)
        circ.send(t.ESTABLISH_RENDEZVOUS, 0, os.urandom(20), hop=0)
        return link.observe(0.4, 1)


@row(needs="Relay=6")
def rendezvous_between_cgo_and_tor1(w):
    def act(client, service):
        for one in (client, service, client, service):
            crossing(one)
    return " / ".join(told_crossing(joined_probe(w, act, how_a=a, how_b=b))
                      for a, b in ((t.Ntor3.CC_CGO, None), (None, t.Ntor3.CC_CGO), (t.Ntor3.CC_CGO, t.Ntor3.CC_CGO)))


# ---- introduction points that stand ----

DOS = b"\1\1\x13\2"  # one extension: DoS, two parameters


def limit(rate, burst):
    return DOS + b"\1" + rate.to_bytes(8, "big") + b"\2" + burst.to_bytes(8, "big")


def introduce1(key, n=207):
    body = bytes(20) + b"\2\0\x20" + key + b"\0"
    return body + os.urandom(n - len(body))


def introduction(w, service, key, body=None):
    """One INTRODUCE1 on a fresh circuit: the status, and whether the service got it."""
    body = body or introduce1(key)
    link, client = w.edge()
    with link:
        client.send(t.INTRODUCE1, 0, body)
        status = told(collect(client, 2, 0.2))
    try:
        return status + (" passed" if service.expect(t.INTRODUCE2, timeout_s=0.5).body == body else " changed")
    except (t.Silence, Refused) as e:
        return status + f" {type(e).__name__}"


def intro_probe(w, extensions, n, pause_s=0.0, message=None):
    """n introductions at once at a service that asked for these extensions."""
    link, service = w.edge(message)
    with link:
        key = service.establish_intro(extensions)
        out = []
        for _ in range(n):
            out.append(introduction(w, service, key))
            time.sleep(pause_s)
        return ", ".join(out)


@row
def intro_establish(w):
    return intro_probe(w, b"\0", 2)


@row
def intro_unknown_extension(w):
    return intro_probe(w, b"\2\7\3abc\xff\0", 1)


@row
def intro_limit_two_at_once(w):
    # So slow a bucket gives nothing back while the row runs; its last token is never given out.
    return intro_probe(w, limit(1, 2), 1) + " / " + intro_probe(w, limit(1, 1), 2)


@row
def intro_limit_off(w):
    return intro_probe(w, limit(0, 0), 3)


@row
def intro_limit_burst_below_rate(w):
    return intro_probe(w, limit(5, 1), 3)


@row
def intro_limit_too_large(w):
    return intro_probe(w, limit(1, 1 << 31), 3)


@row
def intro_limit_unknown_parameter(w):
    return intro_probe(w, DOS + b"\3" + bytes(7) + b"\1\2" + bytes(7) + b"\1", 3)


@row
def intro_limit_cut_short(w):
    return intro_probe(w, b"\1\1\x12\2\1" + bytes(7) + b"\1\2" + bytes(7), 3)


@row
def intro_limit_extensions_run_over(w):
    try:
        return intro_probe(w, b"\1\1\x40\2", 1)
    except Refused as e:
        return f"refused: {e}"


@row
def introduce_1_longest(w):
    link, service = w.edge()
    with link:
        key = service.establish_intro()
        return ", ".join(introduction(w, service, key, introduce1(key, n)) for n in (490, 491, 498))


@row
def introduce_1_shortest(w):
    link, service = w.edge()
    with link:
        key = service.establish_intro()
        return ", ".join(introduction(w, service, key, introduce1(key, 58)[:n]) for n in (20, 55, 56, 57))


@row
def introduce_1_with_extensions(w):
    link, service = w.edge()
    with link:
        key = service.establish_intro()
        head = bytes(20) + b"\2\0\x20" + key
        return ", ".join(introduction(w, service, key, head + tail)
                         for tail in (b"\1\x63\2abrest", b"\2\1\0rest", b"\1\1\x99rest", b"\1\1\2ab"))


@row
def introduce_1_wrong_key_type(w):
    link, service = w.edge()
    with link:
        key = service.establish_intro()
        return ", ".join(introduction(w, service, key, bytes(20) + head + key + b"\0" + bytes(100))
                         for head in (b"\1\0\x20", b"\3\0\x20", b"\2\0\x1f", b"\2\0\x21"))


@row
def introduce_1_to_a_service_that_left(w):
    link, service = w.edge()
    with link:
        key = service.establish_intro()
        service.destroy()
        time.sleep(0.3)
        other, client = w.edge()
        with other:
            client.send(t.INTRODUCE1, 0, introduce1(key))
            return told(collect(client, 2))


@row
def intro_establish_twice_on_one_circuit(w):
    link, service = w.edge()
    with link:
        service.establish_intro()
        try:
            service.establish_intro()
            return "established again"
        except Refused as e:
            return str(e)


@row
def intro_the_same_key_on_another_circuit(w):
    """The newer circuit takes over, the older is closed."""
    secret = t.Ed25519PrivateKey.generate()
    link_a, first = w.edge()
    link_b, second = w.edge()
    with link_a, link_b:
        key = first.establish_intro(secret=secret)
        second.establish_intro(secret=secret)
        old = told(collect(first, 1))
        return f"first: {old}; second: {introduction(w, second, key)}"


def broken_intro(w, change, hop_nonce=None):
    link, service = w.edge()
    with link:
        try:
            service.establish_intro(change=change)
            return "established"
        except Refused as e:
            return str(e)


@row
def intro_bad_signature(w):
    return broken_intro(w, lambda body: body[:-1] + bytes([body[-1] ^ 1]))


@row
def intro_bad_mac(w):
    return broken_intro(w, lambda body: body[:40] + bytes([body[40] ^ 1]) + body[41:])


@row
def intro_other_key(w):
    return broken_intro(w, lambda body: body[:10] + bytes([body[10] ^ 1]) + body[11:])


@row
def intro_trailing_bytes(w):
    return broken_intro(w, lambda body: body + b"more")


@row
def intro_cut_short(w):
    return broken_intro(w, lambda body: body[:-1])


@row
def intro_on_a_client_link(w):
    with w.link() as link:
        circ = w.fast(link)
        try:
            circ.establish_intro()
            return "established"
        except Refused as e:
            return str(e)


@row
def intro_empty(w):
    return stream_probe(w, sending(t.ESTABLISH_INTRO, 0, b""), first_s=1)


@row
def intro_circuit_used_otherwise(w):
    out = []
    for cmd, body in ((t.INTRODUCE1, introduce1(bytes(32))), (t.ESTABLISH_RENDEZVOUS, os.urandom(20)),
                      (t.RENDEZVOUS1, os.urandom(84)), (t.BEGIN_DIR, b""), (t.BEGIN, b"v4.dest.test:7\0"), (t.DROP, b"")):
        link, service = w.edge()
        with link:
            service.establish_intro()
            service.send(cmd, 1 if cmd in (t.BEGIN, t.BEGIN_DIR) else 0, body)
            out.append(told(collect(service, 1, 0.3), show=cmd != t.BEGIN))
    return ", ".join(out)


@row
def introduce_messages_from_a_client(w):
    return stream_probe(w, *[sending(cmd, 0, bytes(60)) for cmd in
                             (t.INTRODUCE2, t.INTRO_ESTABLISHED, t.RENDEZVOUS_ESTABLISHED, t.INTRODUCE_ACK)], first_s=1)


@row(needs="Relay=6")
def intro_on_a_cgo_circuit(w):
    return intro_probe(w, b"\0", 1, message=t.Ntor3.CC_CGO)


@row(needs="FlowCtrl=2")
def intro_on_a_cc_circuit(w):
    return intro_probe(w, b"\0", 1, message=t.Ntor3.CC)
