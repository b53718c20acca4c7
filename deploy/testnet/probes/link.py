"""TLS and the link handshake: what a relay's doors let in."""
import re
import ssl
import struct
import time
import torlink as t
from probes.frame import after, row
from torlink import Closed, Silence


# ---- TLS ----


def tls_probe(w, **how):
    try:
        with w.raw(context=t.tls_context(**how)) as link:
            return link.sock.tls.version() + " " + link.sock.tls.cipher()[0]
    except Closed as e:
        return f"refused {e}"


V12 = ssl.TLSVersion.TLSv1_2


@row
def tls_1_1(w):
    return tls_probe(w, minimum=ssl.TLSVersion.TLSv1_1, maximum=ssl.TLSVersion.TLSv1_1)


@row(designed=("TLSv1.3 TLS_AES_128_GCM_SHA256", "DataplaneTLSOrder: the faster suite first"))
def tls_1_3(w):
    return tls_probe(w, minimum=ssl.TLSVersion.TLSv1_3)


@row
def tls_1_2_aes256(w):
    return tls_probe(w, maximum=V12, ciphers="ECDHE-RSA-AES256-GCM-SHA384")


@row
def tls_1_2_aes128(w):
    return tls_probe(w, maximum=V12, ciphers="ECDHE-RSA-AES128-GCM-SHA256")


@row
def tls_1_2_chacha(w):
    return tls_probe(w, maximum=V12, ciphers="ECDHE-RSA-CHACHA20-POLY1305")


@row
def tls_1_2_static_rsa(w):
    return tls_probe(w, maximum=V12, ciphers="AES128-GCM-SHA256:@SECLEVEL=0")


@row
def tls_1_2_handshake(w):
    with w.raw(context=t.tls_context(maximum=V12)) as link:
        link.handshake()
        return after(link)


@row
def tls_hello_in_small_segments(w):
    with w.raw(hello_cut=7) as link:
        link.handshake()
        return after(link)


@row
def tls_link_certificate(w):
    from cryptography import x509
    with w.raw() as link:
        cert = x509.load_der_x509_certificate(link.sock.tls.getpeercert(True))
    days = (cert.not_valid_after - cert.not_valid_before).days

    def cn(name):
        return re.sub(r"[a-z2-7]{8,20}", "X", name.rfc4514_string())
    return (f"v{cert.version.value + 1} {cert.signature_hash_algorithm.name} RSA-{cert.public_key().key_size} "
            f"{cn(cert.subject)} {cn(cert.issuer)} extensions {len(cert.extensions)} serial<=64bit "
            f"{cert.serial_number < 1 << 64} days ok {4 <= days <= 365} midnight "
            f"{cert.not_valid_before.hour == cert.not_valid_before.minute == 0}")


@row
def tls_garbage_instead_of_hello(w):
    import socket
    s = t.socket_in(w.net, "c1", socket.AF_INET)
    with s:
        s.settimeout(5)
        s.connect((w.target.v4, w.target.port))
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        try:
            data = s.recv(100)
            return f"alert {data[-1]}" if data[:1] == b"\x15" else "EOF" if not data else data.hex()
        except ConnectionError:
            return "EOF"  # FIN or RST: whether our bytes had been read when the peer closed


@row
def tls_over_ipv6(w):
    with w.raw(v6=True) as link:
        link.handshake()
        return after(link)


# ---- link handshake ----


def greeting_text(link):
    out = []
    for cell in link.greeting:
        body = cell.body
        if cell.cmd == t.VERSIONS:
            out.append("VERSIONS " + ",".join(str(v) for v, in struct.iter_unpack("!H", body)))
        elif cell.cmd == t.CERTS:
            kinds, pos = [], 1
            for _ in range(body[0]):
                kind, n = struct.unpack_from("!BH", body, pos)
                kinds.append(str(kind))
                pos += 3 + n
            out.append("CERTS " + ",".join(kinds) + (" exact" if pos == len(body) else " trailing"))
        elif cell.cmd == t.AUTH_CHALLENGE:
            out.append(f"AUTH_CHALLENGE {len(body)} methods {body[32:].hex()}")
        elif cell.cmd == t.NETINFO:
            kind, n = body[4], body[5]
            pos, own = 6 + n, []
            for _ in range(body[pos]):
                own.append(body[pos + 1])
                pos += 2 + body[pos + 2]
            skew = abs(struct.unpack("!I", body[:4])[0] - time.time()) < 60
            out.append(f"NETINFO time {skew} other {kind} own {own} zero-tail {not any(body[pos + 1:])}")
        else:
            out.append(str(cell))
    return "; ".join(out)


@row(designed=("VERSIONS 4,5;", "the proto line says Link=4-5"))
def greeting(w):
    with w.raw() as link:
        link.send_versions()
        link.read_greeting()
        return greeting_text(link)


@row
def certs_bind_the_tls_certificate(w):
    import hashlib
    with w.raw() as link:
        link.send_versions()
        link.read_greeting()
        der, c = link.sock.tls.getpeercert(True), link.certs
        return (f"type 5 covers it {c[5][7:39] == hashlib.sha256(der).digest()} type 1 is it {c[1] == der} "
                f"type 7 names the Ed25519 identity {c[7][:32] == w.target.ed_id} versions {c[4][0]}{c[5][0]} "
                f"kinds {c[4][1]},{c[5][1]} keytypes {c[4][6]},{c[5][6]} extensions {c[4][39]},{c[5][39]}")


def start(w, *pieces, cut=0, greet=False, settle_s=0.3):
    """TLS, then the pieces as they are; what comes after the greeting."""
    with w.raw() as link:
        try:
            for i, piece in enumerate(pieces):
                link.send_raw(piece, cut)
                if greet and i == 0:
                    link.read_greeting()
            if not greet:
                link.read_greeting()
        except (Closed, Silence) as e:
            return f"{type(e).__name__} in the handshake"
        return after(link, settle_s)


VERSIONS45 = t.pack(0, t.VERSIONS, b"\0\4\0\5", wide=False)


def ninfo(**how):
    body = struct.pack("!I", 0) + how.get("other", b"\4\4\x7f\0\0\1") + how.get("own", b"\0")
    return t.pack(0, t.NETINFO, body)


@row
def versions_odd_length(w):
    return start(w, t.pack(0, t.VERSIONS, b"\0\4\0\5\0", wide=False))


@row
def versions_unknown_only(w):
    return start(w, t.pack(0, t.VERSIONS, b"\0\1\0\2\0\x63", wide=False))


@row
def versions_empty(w):
    return start(w, t.pack(0, t.VERSIONS, b"", wide=False))


@row
def versions_with_a_circuit_id(w):
    return start(w, t.pack(7, t.VERSIONS, b"\0\4\0\5", wide=False), ninfo(), greet=True)


@row(designed=("Closed in the handshake", "the proto line says Link=4-5"))
def versions_3_only(w):
    with w.raw() as link:
        try:
            link.send_versions((3,))
            link.read_greeting()
            link.send(0, t.NETINFO, link.netinfo())
        except (Closed, Silence) as e:
            return f"{type(e).__name__} in the handshake"
        link.next_id = 0x7001
        return link.observe()


@row(designed=("Closed in the handshake", "not allowed before VERSIONS: tor drops it and waits on, Ramson closes",
               "Silence in the handshake"))
def netinfo_before_versions(w):
    return start(w, t.pack(0, t.NETINFO, b"\0" * 11, wide=False))


@row
def vpadding_before_versions(w):
    return start(w, t.pack(0, t.VPADDING, b"abc", wide=False) + VERSIONS45, ninfo(), greet=True)


@row
def unknown_cell_before_versions(w):
    return start(w, t.pack(0, 200, b"abc", wide=False) + VERSIONS45, ninfo(), greet=True)


@row
def authorize_before_versions(w):
    return start(w, t.pack(0, t.AUTHORIZE, b"abc", wide=False) + VERSIONS45, ninfo(), greet=True)


@row
def padding_before_netinfo(w):
    return start(w, VERSIONS45, t.pack(0, t.PADDING) + ninfo(), greet=True)


@row
def create_before_netinfo(w):
    return start(w, VERSIONS45, t.pack(0x80000009, t.CREATE_FAST, bytes(20)) + ninfo(), greet=True)


@row
def unknown_fixed_before_netinfo(w):
    return start(w, VERSIONS45, t.pack(0, 50) + ninfo(), greet=True)


@row
def vpadding_and_unknown_before_netinfo(w):
    return start(w, VERSIONS45, t.pack(0, t.VPADDING, bytes(700)) + t.pack(0, 200, b"x") + ninfo(), greet=True)


@row
def second_versions(w):
    return start(w, VERSIONS45, t.pack(0, t.VERSIONS, b"\0\4\0\5") + ninfo(), greet=True)


@row
def certs_from_a_client_empty(w):
    return start(w, VERSIONS45, t.pack(0, t.CERTS, b"\0") + ninfo(), greet=True)


@row
def certs_from_a_client_garbage(w):
    return start(w, VERSIONS45, t.pack(0, t.CERTS, b"\1\1\0\4abcd") + ninfo(), greet=True)


@row
def certs_truncated(w):
    return start(w, VERSIONS45, t.pack(0, t.CERTS, b"\2\1\0\4abcd\2\0\x50") + ninfo(), greet=True)


@row
def certs_with_a_circuit_id(w):
    return start(w, VERSIONS45, t.pack(5, t.CERTS, b"\0") + ninfo(), greet=True)


@row
def authenticate_without_certs(w):
    return start(w, VERSIONS45, t.pack(0, t.AUTHENTICATE, b"\0\3\0\4abcd") + ninfo(), greet=True)


@row
def auth_challenge_from_the_initiator(w):
    return start(w, VERSIONS45, t.pack(0, t.AUTH_CHALLENGE, bytes(32) + b"\0\1\0\3") + ninfo(), greet=True)


@row
def netinfo_bad_other_type(w):
    return start(w, VERSIONS45, ninfo(other=b"\5\4abcd"), greet=True)


@row
def netinfo_bad_other_length(w):
    return start(w, VERSIONS45, ninfo(other=b"\4\3abc"), greet=True)


@row
def netinfo_bad_own_address(w):
    return start(w, VERSIONS45, ninfo(own=b"\1\x09\4abcd"), greet=True)


@row
def netinfo_own_addresses_run_over(w):
    return start(w, VERSIONS45, ninfo(own=b"\xff\4\4abcd" + b"\4\xff"), greet=True)


@row
def netinfo_with_a_circuit_id(w):
    return start(w, VERSIONS45, t.pack(3, t.NETINFO, struct.pack("!I", 0) + b"\4\4\x7f\0\0\1\0"), greet=True)


@row
def netinfo_without_waiting(w):
    return start(w, VERSIONS45 + ninfo())


@row
def handshake_one_byte_a_record(w):
    return start(w, VERSIONS45 + ninfo()[:40], ninfo()[40:], cut=1)


@row
def netinfo_and_create_in_one_record(w):
    with w.raw() as link:
        link.send_raw(VERSIONS45)
        link.read_greeting()
        link.send_raw(ninfo() + t.pack(0x80000077, t.CREATE_FAST, bytes(20)))
        return after(link)


@row
def second_netinfo(w):
    with w.link() as link:
        link.send(0, t.NETINFO, link.netinfo())
        return after(link)


@row
def certs_after_open(w):
    with w.link() as link:
        link.send(0, t.CERTS, b"\0")
        return after(link)


@row
def authenticate_after_open(w):
    with w.link() as link:
        link.send(0, t.AUTHENTICATE, b"\0\3\0\0")
        return after(link)


@row
def versions_after_open(w):
    with w.link() as link:
        link.send_raw(t.pack(0, t.VERSIONS, b"\0\4\0\5"))
        return after(link)


@row
def unknown_commands_after_open(w):
    with w.link() as link:
        link.send(0, 50)
        link.send(0, 127)
        link.send(0, 200, b"abc")
        link.send(0, 255, b"")
        return after(link)


@row
def padding_after_open(w):
    with w.link() as link:
        link.send(0, t.PADDING)
        link.send(0, t.VPADDING, bytes(1000))
        link.send(9, t.PADDING)
        return after(link)


@row
def padding_negotiate(w):
    with w.link() as link:
        link.send(0, t.PADDING_NEGOTIATE, b"\0\1\0\0\0\0")
        link.send(0, t.PADDING_NEGOTIATE, b"\0\2\0\1\0\1")
        link.send(0, t.PADDING_NEGOTIATE, b"\7\2")
        link.send(0, t.PADDING_NEGOTIATE, b"\0\1\0\0\0\0")
        return after(link)


@row
def cells_cut_anywhere(w):
    with w.link() as link:
        link.send_raw(t.pack(0, t.VPADDING, bytes(3000)) + t.pack(0x80000077, t.CREATE_FAST, bytes(20)), cut=101)
        return after(link)
