"""Creating circuits, relay cells where a circuit ends, extending and truncating."""
import os
import struct
import torlink as t
from probes.frame import after, cell_probe, long_probe, row, sending
from torlink import Refused


# ---- creating circuits ----


def create_probe(w, cmd, body, circ_id=0x80000005, first_s=0):
    with w.link() as link:
        link.send(circ_id, cmd, body)
        return after(link, 0.4, first_s)


def create2(kind, skin, n=None):
    return struct.pack("!HH", kind, len(skin) if n is None else n) + skin


@row
def create_tap(w):
    return create_probe(w, t.CREATE, bytes(186))


@row
def create2_tap(w):
    return create_probe(w, t.CREATE2, create2(0, bytes(186)))


@row
def create2_fast(w):
    return create_probe(w, t.CREATE2, create2(1, bytes(20)))


@row
def create2_unknown_type(w):
    return create_probe(w, t.CREATE2, create2(99, bytes(84)))


@row
def create2_ntor_junk(w):
    return create_probe(w, t.CREATE2, create2(2, os.urandom(84)), first_s=1)


@row
def create2_ntor_zero_key(w):
    return create_probe(w, t.CREATE2, create2(2, w.target.rsa_id + w.target.onion_key + bytes(32)), first_s=1)


@row
def create2_ntor_other_onion_key(w):
    skin = t.Ntor(w.target).skin
    return create_probe(w, t.CREATE2, create2(2, skin[:20] + os.urandom(32) + skin[52:]), first_s=1)


@row
def create2_ntor_short(w):
    return create_probe(w, t.CREATE2, create2(2, t.Ntor(w.target).skin[:83]), first_s=1)


@row
def create2_length_too_big(w):
    return create_probe(w, t.CREATE2, create2(2, bytes(400), 506))


@row
def create2_ntor3_short(w):
    return create_probe(w, t.CREATE2, create2(3, bytes(100)), first_s=1)


@row
def create2_ntor3_bad_mac(w):
    skin = t.Ntor3(w.target).skin
    return create_probe(w, t.CREATE2, create2(3, skin[:-1] + bytes([skin[-1] ^ 1])), first_s=1)


@row
def create_wrong_id_half(w):
    return create_probe(w, t.CREATE_FAST, bytes(20), circ_id=5)


@row
def create2_wrong_id_half(w):
    return create_probe(w, t.CREATE2, create2(2, t.Ntor(w.target).skin), circ_id=5)


@row
def create_id_zero(w):
    return create_probe(w, t.CREATE_FAST, bytes(20), circ_id=0)


@row
def create_id_in_use(w):
    with w.link() as link:
        circ = w.fast(link)
        link.send(circ.id, t.CREATE_FAST, bytes(20))
        seen = link.observe()
        circ.send(t.BEGIN_DIR, 1)
        return seen + ", then " + after(link)


@row
def created_from_a_client(w):
    with w.link() as link:
        circ = w.fast(link)
        link.send(circ.id, t.CREATED2, b"\0\x40" + bytes(64))
        return after(link)


@row
def created_fast_from_a_client(w):
    with w.link() as link:
        circ = w.fast(link)
        link.send(circ.id, t.CREATED_FAST, bytes(40))
        return after(link)


@row
def created_for_unknown_circuit(w):
    with w.link() as link:
        link.send(0x80000099, t.CREATED2, b"\0\x40" + bytes(64))
        return after(link)


@row
def destroy_and_reuse(w):
    with w.link() as link:
        circ = w.fast(link)
        circ.destroy()
        circ.backlog.clear()
        link.send(circ.id, t.CREATE_FAST, bytes(20))
        return after(link)


@row
def destroy_unknown(w):
    with w.link() as link:
        link.send(0x80000123, t.DESTROY, b"\1")
        return after(link)


@row
def destroy_while_pending(w):
    with w.link() as link:
        link.send(0x80000011, t.CREATE2, create2(2, t.Ntor(w.target).skin))
        link.send(0x80000011, t.DESTROY, b"\0")
        # The answer may overtake the DESTROY or not: a matter of threads, with tor too.
        return after(link, 0.5).replace("CREATED2", "silence")


@row
def relay_while_pending(w):
    with w.link() as link:
        link.send_raw(t.pack(0x80000011, t.CREATE2, create2(2, t.Ntor(w.target).skin)) +
                      t.pack(0x80000011, t.RELAY, os.urandom(509)))
        return after(link, 0.5)


def ntor3_probe(w, message):
    with w.link() as link:
        handshake = t.Ntor3(w.target, message)
        try:
            link.circuit().create(handshake)
            return f"answer {handshake.answer.hex()}"
        except Refused as e:
            return str(e)


@row
def ntor3_no_extension(w):
    return ntor3_probe(w, b"\0")


@row
def ntor3_empty_message(w):
    return ntor3_probe(w, b"")


@row
def ntor3_unknown_extension(w):
    return ntor3_probe(w, b"\1\x63\2ab")


@row
def ntor3_truncated_extension(w):
    return ntor3_probe(w, b"\1\x63\x09ab")


@row
def ntor3_trailing_bytes(w):
    return ntor3_probe(w, b"\0abc")


@row
def ntor3_congestion_control(w):
    return ntor3_probe(w, b"\1\1\0")


@row
def ntor3_cgo(w):
    return ntor3_probe(w, b"\2\1\0\3\2\2\6")


@row
def ntor3_cgo_without_cc(w):
    return ntor3_probe(w, b"\1\3\2\2\6")


@row
def ntor3_unknown_subprotocol(w):
    return ntor3_probe(w, b"\2\1\0\3\2\2\x3f")


# ---- relay cells on a circuit that ends here ----


@row
def relay_on_unknown_circuit(w):
    with w.link() as link:
        link.send(0x80000033, t.RELAY, os.urandom(509))
        link.send(0x80000033, t.RELAY_EARLY, os.urandom(509))
        return after(link)


@row
def relay_garbage(w):
    return cell_probe(w, lambda c: c.link.send(c.id, t.RELAY, os.urandom(509)))


@row
def relay_wrong_digest(w):
    return cell_probe(w, sending(t.DROP, 0, b"", digest=b"abcd"))


@row
def relay_recognized_not_zero(w):
    return cell_probe(w, sending(t.DROP, 0, b"", recognized=1))


@row
def relay_length_too_big(w):
    return cell_probe(w, sending(t.DATA, 1, b"abc", length=499))


@row
def relay_unknown_command(w):
    return cell_probe(w, sending(77, 0, b"abc"), sending(0, 0, b""), sending(255, 9, b"x"))


@row
def relay_drop(w):
    return cell_probe(w, sending(t.DROP), sending(t.DROP, 5, b"abc"))


@row
def relay_early_nine(w):
    return cell_probe(w, *[sending(t.DROP, early=True)] * 9)


@row
def relay_early_eight(w):
    return cell_probe(w, *[sending(t.DROP, early=True)] * 8)


@row
def sendme_unexpected(w):
    return cell_probe(w, sending(t.SENDME, 0, b"\1\0\x14" + bytes(20)))


@row
def sendme_version_0_unexpected(w):
    return cell_probe(w, sending(t.SENDME, 0, b""))


@row
def sendme_unknown_version(w):
    return cell_probe(w, sending(t.SENDME, 0, b"\7\0\x14" + bytes(20)))


@row
def sendme_unknown_stream(w):
    return cell_probe(w, sending(t.SENDME, 77, b""))


@row
def data_on_unknown_stream(w):
    return cell_probe(w, sending(t.DATA, 77, b"abc"), sending(t.DATA, 0, b"abc"))


@row
def data_hundred_on_unknown_stream(w):
    return cell_probe(w, *[sending(t.DATA, 77, b"a")] * 100)


@row
def data_beyond_the_window(w):
    return cell_probe(w, *[sending(t.DATA, 77, b"a")] * 1003)


@row
def end_on_unknown_stream(w):
    return cell_probe(w, sending(t.END, 77, b"\6"))


@row
def end_without_body(w):
    return cell_probe(w, sending(t.END, 77, b""))


@row
def connected_on_unknown_stream(w):
    return cell_probe(w, sending(t.CONNECTED, 77, b""))


@row
def resolved_on_unknown_stream(w):
    return cell_probe(w, sending(t.RESOLVED, 77, b""))


@row
def zero_stream_ids(w):
    return cell_probe(w, *[sending(cmd, 0, b"\6") for cmd in
                           (t.BEGIN, t.BEGIN_DIR, t.CONNECTED, t.END, t.RESOLVE, t.RESOLVED)])


@row
def extended2_from_a_client(w):
    return cell_probe(w, sending(t.EXTENDED2, 0, b"\0\x40" + bytes(64)))


@row
def truncated_from_a_client(w):
    return cell_probe(w, sending(t.TRUNCATED, 0, b"\1"))


@row
def truncate_at_the_end(w):
    return cell_probe(w, sending(t.TRUNCATE, 0, b"\1"))


@row
def truncate_at_the_end_without_body(w):
    return cell_probe(w, sending(t.TRUNCATE, 0, b""))


@row
def begin_on_a_client_link(w):
    return cell_probe(w, sending(t.BEGIN, 1, b"v4.dest.test:80\0"), first_s=2)


@row
def resolve_on_a_client_link(w):
    return cell_probe(w, sending(t.RESOLVE, 1, b"v4.dest.test\0"), first_s=2)


@row
def begin_dir_on_a_client_link(w):
    return cell_probe(w, sending(t.BEGIN_DIR, 1), first_s=2)


# ---- extending ----


def extend_probe(w, make, early=True, first_s=3, then=None):
    with w.link() as link:
        circ = w.fast(link)
        circ.send(t.EXTEND2, 0, make(w), early=early)
        if then:
            then(circ)
        return after(link, 0.5, first_s)


def spec(**how):
    return lambda w: t.extend2(w.onward, t.Ntor(w.onward), **how)


@row
def extend_good(w):
    return extend_probe(w, spec())


@row
def extend_without_ed25519(w):
    return extend_probe(w, spec(ed=False))


@row
def extend_ipv6_only(w):
    return extend_probe(w, spec(v4=False, v6=True))


@row
def extend_both_families(w):
    return extend_probe(w, spec(v6=True))


@row
def extend_not_early(w):
    return extend_probe(w, spec(), early=False, first_s=0.5)


@row
def extend_without_rsa_id(w):
    return extend_probe(w, spec(rsa=False), first_s=1)


@row
def extend_without_address(w):
    return extend_probe(w, spec(v4=False), first_s=1)


@row
def extend_unknown_specifier(w):
    return extend_probe(w, spec(extra=b"\x63\3abc"))


@row
def extend_duplicate_rsa_id(w):
    return extend_probe(w, lambda w: t.extend2(w.onward, t.Ntor(w.onward), extra=b"\2\x14" + w.onward.rsa_id), first_s=1)


@row
def extend_second_ipv4(w):
    return extend_probe(w, spec(extra=b"\0\6\x0a\x4d\0\x63\0\1"))


@row
def extend_zero_rsa_id(w):
    def make(w):
        body = t.extend2(w.onward, t.Ntor(w.onward))
        return body.replace(w.onward.rsa_id, bytes(20), 1)
    return extend_probe(w, make, first_s=1)


@row
def extend_count_too_big(w):
    return extend_probe(w, spec(count=200), first_s=1)


@row
def extend_no_specifier(w):
    return extend_probe(w, lambda w: b"\0" + struct.pack("!HH", 2, 84) + bytes(84), first_s=1)


@row
def extend_truncated(w):
    return extend_probe(w, lambda w: t.extend2(w.onward, t.Ntor(w.onward))[:60], first_s=1)


@row
def extend_tap(w):
    return extend_probe(w, lambda w: w.onward.specifiers() + struct.pack("!HH", 0, 186) + bytes(186), first_s=1)


@row
def extend_fast(w):
    return extend_probe(w, lambda w: w.onward.specifiers() + struct.pack("!HH", 1, 20) + bytes(20), first_s=1)


@row
def extend_unknown_handshake(w):
    return extend_probe(w, lambda w: w.onward.specifiers() + struct.pack("!HH", 99, 20) + bytes(20))


@row
def extend_junk_skin(w):
    return extend_probe(w, lambda w: w.onward.specifiers() + struct.pack("!HH", 2, 84) + os.urandom(84))


@row
def extend_legacy(w):
    return cell_probe(w, sending(t.EXTEND, 0, bytes(212), early=True), first_s=1)


@row
def extend_to_itself(w):
    return extend_probe(w, lambda w: t.extend2(w.target, t.Ntor(w.target)), first_s=1)


@row
def extend_wrong_rsa_identity(w):
    return extend_probe(w, lambda w: t.extend2(w.onward, t.Ntor(w.onward), ed=False)
                        .replace(w.onward.rsa_id, b"\x42" * 20, 1), first_s=5)


@row
def extend_wrong_ed_identity(w):
    return extend_probe(w, lambda w: t.extend2(w.onward, t.Ntor(w.onward)).replace(w.onward.ed_id, b"\x42" * 32, 1),
                        first_s=5)


@row
def extend_to_a_closed_port(w):
    def make(w):
        body = t.extend2(w.onward, t.Ntor(w.onward), ed=False)
        return body.replace(struct.pack("!H", w.onward.port), b"\0\2", 1).replace(w.onward.rsa_id, b"\x43" * 20, 1)
    return extend_probe(w, make, first_s=5)


@row
def extend_twice(w):
    # The first answer may or may not be back before the second request is looked at.
    return extend_probe(w, spec(), then=lambda c: c.send(t.EXTEND2, 0, spec()(w), early=True)) \
        .replace("EXTENDED2 DESTROY", "DESTROY")


@row
def truncate(w):
    return long_probe(w, lambda c: c.send(t.TRUNCATE, 0, b"\1", hop=0))


@row
def truncate_without_body(w):
    return long_probe(w, lambda c: c.send(t.TRUNCATE, 0, b"", hop=0))


@row
def truncate_and_extend_again(w):
    def act(c):
        c.send(t.TRUNCATE, 0, b"\1", hop=0)
        c.expect(t.TRUNCATED)
        c.layers.pop()
        c.extend(w.helper)
        c.send(t.BEGIN_DIR, 1)
    return long_probe(w, act)


@row
def next_hop_destroys(w):
    return long_probe(w, lambda c: c.send(t.SENDME, 0, b"\1\0\x14" + bytes(20)))


@row
def extend_after_extended(w):
    return long_probe(w, lambda c: c.send(t.EXTEND2, 0, t.extend2(w.helper, t.Ntor(w.helper)), hop=0, early=True))


@row
def nine_relay_early_onward(w):
    return long_probe(w, lambda c: [c.send(t.DROP, early=True) for _ in range(9)])


@row
def forwarded_begin_dir(w):
    return long_probe(w, lambda c: c.send(t.BEGIN_DIR, 1))
