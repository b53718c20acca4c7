"""A scripted Tor peer for tests: link handshake, circuits and streams, good or bad on purpose, in few lines each.

    with Link.open(net, "c1", relay) as link:
        link.handshake()
        circ = link.circuit().create_ntor()
        circ.extend(other)
        circ.send(BEGIN, 1, b"dest.test:80\\0")
        print(circ.expect(CONNECTED))

Everything is explicit: nothing is answered by itself but circuit SENDMEs (while `auto_sendme`), so that a test sees what the
relay sent. It is a client: Python's ssl has no keying-material exporter, so AUTHENTICATE cannot be made here.
"""
import ctypes
import hashlib
import hmac
import os
import select
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from relaycrypt import Cgo, Tor1

# Link cells.
PADDING, CREATE, CREATED, RELAY, DESTROY, CREATE_FAST, CREATED_FAST, VERSIONS, NETINFO, RELAY_EARLY, CREATE2, CREATED2, \
    PADDING_NEGOTIATE = range(13)
VPADDING, CERTS, AUTH_CHALLENGE, AUTHENTICATE, AUTHORIZE = range(128, 133)
# Relay messages.
BEGIN, DATA, END, CONNECTED, SENDME, EXTEND, EXTENDED, TRUNCATE, TRUNCATED, DROP, RESOLVE, RESOLVED, BEGIN_DIR, EXTEND2, \
    EXTENDED2 = range(1, 16)
ESTABLISH_INTRO, ESTABLISH_RENDEZVOUS, INTRODUCE1, INTRODUCE2, RENDEZVOUS1, RENDEZVOUS2, INTRO_ESTABLISHED, \
    RENDEZVOUS_ESTABLISHED, INTRODUCE_ACK, CIRC_NEGOTIATE, CIRC_NEGOTIATED, XOFF, XON = range(32, 45)
CONFLUX_LINK, CONFLUX_LINKED, CONFLUX_LINKED_ACK, CONFLUX_SWITCH = range(19, 23)
LINK_NAMES = {v: k for k, v in list(globals().items()) if k in (
    "PADDING CREATE CREATED RELAY DESTROY CREATE_FAST CREATED_FAST VERSIONS NETINFO RELAY_EARLY CREATE2 CREATED2 "
    "PADDING_NEGOTIATE VPADDING CERTS AUTH_CHALLENGE AUTHENTICATE AUTHORIZE").split()}
RELAY_NAMES = {v: k for k, v in list(globals().items()) if k in (
    "BEGIN DATA END CONNECTED SENDME EXTEND EXTENDED TRUNCATE TRUNCATED DROP RESOLVE RESOLVED BEGIN_DIR EXTEND2 EXTENDED2 "
    "ESTABLISH_INTRO ESTABLISH_RENDEZVOUS INTRODUCE1 INTRODUCE2 RENDEZVOUS1 RENDEZVOUS2 INTRO_ESTABLISHED "
    "RENDEZVOUS_ESTABLISHED INTRODUCE_ACK CIRC_NEGOTIATE CIRC_NEGOTIATED XOFF XON CONFLUX_LINK CONFLUX_LINKED "
    "CONFLUX_LINKED_ACK CONFLUX_SWITCH").split()}
FAST, NTOR, NTOR3 = 1, 2, 3  # handshake types of CREATE2
BODY_LEN = 509


class Closed(Exception):
    """The peer ended the connection (EOF, reset or a TLS alert; the text says which)."""


class Silence(Exception):
    """Nothing came in the time given."""


# ---- sockets in a namespace ----

def socket_in(net, name, family, kind=socket.SOCK_STREAM):
    """A socket that lives in a node's namespace; this thread returns to its own at once."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{net.ns(name)}", os.O_RDONLY)
    try:
        if libc.setns(there, 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            return socket.socket(family, kind)
        finally:
            if libc.setns(home, 0x40000000):
                raise OSError(ctypes.get_errno(), "setns back")
    finally:
        os.close(home)
        os.close(there)


# ---- who a relay is ----

@dataclass
class Relay:
    """What one must know of a relay to build circuits to it."""
    name: str
    v4: str
    v6: str
    port: int
    rsa_id: bytes          # 20
    ed_id: bytes           # 32
    onion_key: bytes       # 32, ntor
    proto: str = ""        # its proto line

    @classmethod
    def of(cls, net, node):
        """From the descriptor that the authorities have of it."""
        import base64
        import re
        import flags
        document = flags.http(net, f"/tor/server/fp/{net.fingerprint(node)}")
        if not document:
            raise RuntimeError(f"the authorities have no descriptor of {node.name}")

        def b64(keyword):
            text = re.search(rf"^{keyword} (\S+)", document, re.M).group(1)
            return base64.b64decode(text + "=" * (-len(text) % 4))
        return cls(node.name, node.v4, node.v6, 9001, bytes.fromhex(net.fingerprint(node)),
                   b64("master-key-ed25519"), b64("ntor-onion-key"), re.search(r"^proto (.*)", document, re.M).group(1))

    def specifiers(self, v4=True, rsa=True, ed=True, v6=False, extra=b"", count=None):
        """Link specifiers of EXTEND2 with their count byte."""
        parts = []
        if v4:
            parts.append(b"\0\6" + socket.inet_aton(self.v4) + struct.pack("!H", self.port))
        if rsa:
            parts.append(b"\2\x14" + self.rsa_id)
        if ed:
            parts.append(b"\3\x20" + self.ed_id)
        if v6:
            parts.append(b"\1\x12" + socket.inet_pton(socket.AF_INET6, self.v6) + struct.pack("!H", self.port))
        n = len(parts) + (1 if extra else 0) if count is None else count
        return bytes([n]) + b"".join(parts) + extra


# ---- cells ----

@dataclass
class Cell:
    circ: int
    cmd: int
    body: bytes

    def __str__(self):
        name = LINK_NAMES.get(self.cmd, f"cell {self.cmd}")
        return f"{name}({self.body[0]})" if self.cmd == DESTROY else name


def is_variable(cmd):
    return cmd == VERSIONS or cmd >= 128


def pack(circ, cmd, body=b"", wide=True, variable=None):
    """A cell as bytes; fixed bodies are padded with zeros."""
    head = struct.pack("!IB" if wide else "!HB", circ, cmd)
    if is_variable(cmd) if variable is None else variable:
        return head + struct.pack("!H", len(body)) + body
    return head + body[:BODY_LEN].ljust(BODY_LEN, b"\0")


def tls_context(minimum=ssl.TLSVersion.TLSv1_2, maximum=ssl.TLSVersion.TLSv1_3, ciphers=None):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    # Level 0, because what is refused shall be refused by the relay, not by us.
    ctx.set_ciphers(ciphers or "DEFAULT:@SECLEVEL=0")
    ctx.minimum_version, ctx.maximum_version = minimum, maximum
    return ctx


class Link:
    """One TLS connection to a relay. Bytes in and out can be cut at will."""

    def __init__(self, sock, local):
        self.sock, self.local = sock, local
        self.buffer, self.wide, self.version, self.offered = b"", False, 0, {3, 4, 5}
        self.circuits, self.others, self.next_id = {}, [], 0x80000001
        self.certs, self.greeting = {}, []

    @classmethod
    def open(cls, net, client, relay, context=None, v6=False, timeout_s=10, hello_cut=0, source=None):
        """TCP and TLS from the client's namespace. hello_cut sends the ClientHello in pieces of that many bytes; source is an
        address of the client's."""
        v6 = v6 or ":" in (source or "")
        s = socket_in(net, client, socket.AF_INET6 if v6 else socket.AF_INET)
        s.settimeout(timeout_s)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            s.bind((source, 0))
        try:
            s.connect((relay.v6 if v6 else relay.v4, relay.port))
            tls = Tls(s, context or tls_context(), hello_cut)
        except ssl.SSLError as e:
            s.close()
            raise Closed(f"TLS: {e.reason}")
        except (ConnectionError, socket.timeout) as e:
            s.close()
            raise Closed(type(e).__name__)
        return cls(tls, s.getsockname()[0])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    # -- bytes --

    def send_raw(self, data, cut=0):
        """Sends bytes, in TLS records of `cut` bytes if cut is given."""
        step = cut or len(data) or 1
        for i in range(0, len(data), step):
            self.sock.send(data[i:i + step])

    def send(self, circ, cmd, body=b"", **how):
        self.send_raw(pack(circ, cmd, body, self.wide if cmd != VERSIONS else False, **how))

    def _fill(self, n, limit):
        while len(self.buffer) < n:
            data = self.sock.recv(limit - time.monotonic())
            if data is None:
                raise Silence()
            self.buffer += data

    def recv(self, timeout_s=5):
        """The next cell, decrypted for nobody. Raises Silence or Closed."""
        limit = time.monotonic() + timeout_s
        id_len = 4 if self.wide else 2
        self._fill(id_len + 1, limit)
        cmd = self.buffer[id_len]
        if is_variable(cmd):
            self._fill(id_len + 3, limit)
            start = id_len + 3
            end = start + struct.unpack_from("!H", self.buffer, id_len + 1)[0]
        else:
            start, end = id_len + 1, id_len + 1 + BODY_LEN
        self._fill(end, limit)
        circ = int.from_bytes(self.buffer[:id_len], "big")
        cell = Cell(circ, cmd, self.buffer[start:end])
        self.buffer = self.buffer[end:]
        return cell

    # -- handshake --

    def send_versions(self, versions=(3, 4, 5)):
        self.offered = set(versions)
        self.send_raw(pack(0, VERSIONS, b"".join(struct.pack("!H", v) for v in versions), wide=False))

    def read_greeting(self):
        """VERSIONS to NETINFO of the responder; fills certs, version and greeting."""
        while not self.greeting or self.greeting[-1].cmd != NETINFO:
            cell = self.recv()
            self.greeting.append(cell)
            if cell.cmd == VERSIONS:
                theirs = {v for v, in struct.iter_unpack("!H", cell.body)}
                self.version = max(theirs & self.offered, default=0)
                self.wide = self.version >= 4
            elif cell.cmd == CERTS:
                self.certs = parse_certs(cell.body)
        return self.greeting

    def netinfo(self, other=None, own=b"\0", when=0):
        """Body of our NETINFO: a client names no address of its own and no time."""
        return struct.pack("!I", when) + (other if other is not None else b"\4\4" + b"\x7f\0\0\1") + own

    def handshake(self, versions=(3, 4, 5)):
        self.send_versions(versions)
        self.read_greeting()
        self.send(0, NETINFO, self.netinfo())
        return self

    # -- circuits --

    def circuit(self, relay=None, circ_id=None):
        if circ_id is None:
            circ_id, self.next_id = self.next_id, self.next_id + 1
        c = Circuit(self, circ_id, relay)
        self.circuits[circ_id] = c
        return c

    def recv_any(self, timeout_s=5):
        """(circuit or None, Cell or Message): relay cells of known circuits are opened."""
        cell = self.recv(timeout_s)
        circ = self.circuits.get(cell.circ)
        if circ and cell.cmd in (RELAY, RELAY_EARLY):
            return circ, circ.open_cell(cell)
        return circ, cell

    def observe(self, settle_s=0.3, first_s=0, skip=()):
        """What arrives now, as text: waits first_s for a first thing, then until settle_s pass in quiet."""
        seen, wait_s = [], max(first_s, settle_s)
        while len(seen) < 200:
            try:
                _, thing = self.recv_any(wait_s)
            except Silence:
                break
            except Closed:
                seen.append("EOF")
                break
            if str(thing) not in skip:
                seen.append(str(thing))
            wait_s = settle_s
        return " ".join(seen) or "silence"


class Tls:
    """TLS over memory BIOs, so that records can be cut and times kept exactly."""

    def __init__(self, sock, context, hello_cut=0):
        self.sock, self.inp, self.out = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inp, self.out, server_hostname="www.example.com")
        self.deadline = time.monotonic() + sock.gettimeout()
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush(hello_cut)
                hello_cut = 0
                if not self._more(self.deadline - time.monotonic()):
                    raise socket.timeout()
        self._flush()

    def _flush(self, cut=0):
        data = self.out.read()
        for i in range(0, len(data), cut or len(data) or 1):
            self.sock.sendall(data[i:i + (cut or len(data))])

    def _more(self, wait_s):
        """Reads once from the socket; False if nothing came in time."""
        if not select.select([self.sock], [], [], max(0, wait_s))[0]:
            return False
        data = self.sock.recv(1 << 16)
        if data:
            self.inp.write(data)
        else:
            self.inp.write_eof()
        return True

    def send(self, data):
        try:
            self.tls.write(data)
            self._flush()
        except (ConnectionError, ssl.SSLError) as e:
            raise Closed(type(e).__name__)

    def recv(self, wait_s):
        """Bytes, or None if nothing came within wait_s."""
        limit = time.monotonic() + wait_s
        while True:
            try:
                data = self.tls.read(1 << 16)
                if not data:
                    raise Closed("close_notify")
                return data
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as e:
                raise Closed(e.reason or "EOF without close_notify")
            try:
                if not self._more(limit - time.monotonic()):
                    return None
            except ConnectionError as e:
                raise Closed(type(e).__name__)

    def close(self):
        try:
            self.tls.unwrap()
        except (ssl.SSLError, OSError):
            pass
        try:
            self._flush()
        except OSError:
            pass
        self.sock.close()


def parse_certs(body):
    """{type: certificate} of a CERTS cell, in its order; a duplicate keeps the first."""
    certs, pos = {}, 1
    for _ in range(body[0]):
        kind, length = struct.unpack_from("!BH", body, pos)
        certs.setdefault(kind, body[pos + 3:pos + 3 + length])
        pos += 3 + length
    return certs


# ---- handshakes ----

def hkdf(seed, info, n):
    """HKDF-Expand of RFC 5869 with SHA-256."""
    out, block, i = b"", b"", 1
    while len(out) < n:
        block = hmac.new(seed, block + info + bytes([i]), hashlib.sha256).digest()
        out, i = out + block, i + 1
    return out[:n]


def kdf_tor(k0, n):
    return b"".join(hashlib.sha1(k0 + bytes([i])).digest() for i in range((n + 19) // 20))[:n]


def _x(private, public):
    return private.exchange(X25519PublicKey.from_public_bytes(public))


def _public(private):
    return private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


class Ntor:
    """tor-spec 5.1.4, client side."""
    kind, ID = NTOR, b"ntor-curve25519-sha256-1"

    def __init__(self, relay):
        self.relay, self.x = relay, X25519PrivateKey.generate()
        self.skin = relay.rsa_id + relay.onion_key + _public(self.x)

    def finish(self, reply):
        """The hop's layer; AssertionError if the relay did not know its key."""
        r, y, auth = self.relay, reply[:32], reply[32:64]
        secret = _x(self.x, y) + _x(self.x, r.onion_key) + r.rsa_id + r.onion_key + _public(self.x) + y + self.ID
        mac = lambda key, data: hmac.new(self.ID + key, data, hashlib.sha256).digest()  # noqa: E731
        verify = mac(b":verify", secret)
        wanted = mac(b":mac", verify + r.rsa_id + r.onion_key + y + _public(self.x) + self.ID + b"Server")
        assert auth == wanted, "ntor AUTH does not verify"
        return Tor1(hkdf(mac(b":key_extract", secret), self.ID + b":key_expand", 92))


class Ntor3:
    """Proposal 332, client side; `message` is what goes to the relay, `answer` what came back. The layer is the one that
    both agreed on: with congestion control if the answer grants it, with CGO if it was asked for besides."""
    kind, ID, VERIFY = NTOR3, b"ntor3-curve25519-sha3_256-1", b"circuit extend"
    CC, CC_CGO = b"\1\1\0", b"\2\1\0\3\2\2\6"  # messages that ask for them

    def __init__(self, relay, message=b"\0"):
        self.relay, self.x, self.message, self.answer = relay, X25519PrivateKey.generate(), message, None
        self.head = relay.ed_id + relay.onion_key + _public(self.x)
        secret = _x(self.x, relay.onion_key) + relay.ed_id + _public(self.x) + relay.onion_key + self.ID + \
            self._cap(self.VERIFY)
        keys = self._kdf(b":kdf_phase1", secret, 64)
        self.mac_and = self._enc(keys[:32], message)
        self.mac = hashlib.sha3_256(self._cap(self.ID + b":msg_mac") + self._cap(keys[32:]) + relay.ed_id +
                                    relay.onion_key + _public(self.x) + self.mac_and).digest()
        self.skin = self.head + self.mac_and + self.mac

    @staticmethod
    def _cap(data):
        return struct.pack("!Q", len(data)) + data

    def _hash(self, tag, data):
        return hashlib.sha3_256(self._cap(self.ID + tag) + data).digest()

    def _kdf(self, tag, data, n):
        return hashlib.shake_256(self._cap(self.ID + tag) + data).digest(n)

    @staticmethod
    def _enc(key, data):
        return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(data)

    def finish(self, reply):
        r, y, auth, sealed = self.relay, reply[:32], reply[32:64], reply[64:]
        pub = _public(self.x)
        secret = _x(self.x, y) + _x(self.x, r.onion_key) + r.ed_id + r.onion_key + pub + y + self.ID + \
            self._cap(self.VERIFY)
        verify = self._hash(b":verify", secret)
        kind = Cgo if b"\3\2\2\6" in self.message else Tor1
        keys = self._kdf(b":kdf_final", self._hash(b":key_seed", secret), 32 + kind.keys_len)
        wanted = self._hash(b":auth_final", verify + r.ed_id + r.onion_key + y + pub + self.mac + self._cap(sealed) +
                            self.ID + b"Server")
        assert auth == wanted, "ntor v3 AUTH does not verify"
        self.answer = self._enc(keys[:32], sealed)
        layer = kind(keys[32:])
        if self.answer[:3] == b"\1\2\1":
            layer.cc, layer.increment = True, self.answer[3]
        return layer


# ---- relay cells ----

@dataclass
class Message:
    """A relay message that a hop sent to us. hop -1: nobody's digest fitted."""
    cmd: int
    stream: int
    body: bytes
    hop: int = 0
    early: bool = False
    tag: bytes = field(default=b"", repr=False)
    tail: bytes = field(default=b"", repr=False)  # what stands behind the body

    def __str__(self):
        name = RELAY_NAMES.get(self.cmd, f"relay {self.cmd}") if self.hop >= 0 else "UNRECOGNIZED"
        if self.cmd in (END, TRUNCATED):
            name += f"({self.body[0]})" if self.body else "()"
        return ("EARLY:" if self.early else "") + name


class Circuit:
    def __init__(self, link, circ_id, relay=None):
        self.link, self.id, self.relay, self.layers, self.auto_sendme = link, circ_id, relay, [], True
        self.backlog = []

    # -- building --

    def create_fast(self):
        x = os.urandom(20)
        self.link.send(self.id, CREATE_FAST, x)
        body = self.await_cell(CREATED_FAST).body
        keys = kdf_tor(x + body[:20], 92)
        assert keys[:20] == body[20:40], "CREATED_FAST does not verify"
        self.layers.append(Tor1(keys[20:] + keys[:20]))
        return self

    def create(self, handshake):
        """CREATE2 with an Ntor or Ntor3; returns the circuit."""
        self.link.send(self.id, CREATE2, struct.pack("!HH", handshake.kind, len(handshake.skin)) + handshake.skin)
        body = self.await_cell(CREATED2).body
        self.layers.append(handshake.finish(body[2:2 + struct.unpack("!H", body[:2])[0]]))
        return self

    def create_ntor(self, relay=None):
        return self.create(Ntor(relay or self.relay))

    def extend(self, relay, handshake=None, **specifiers):
        """EXTEND2 in RELAY_EARLY to the relay; returns the circuit one hop longer."""
        handshake = handshake or Ntor(relay)
        self.send(EXTEND2, 0, extend2(relay, handshake, **specifiers), early=True)
        body = self.expect(EXTENDED2, timeout_s=15).body
        self.layers.append(handshake.finish(body[2:2 + struct.unpack("!H", body[:2])[0]]))
        return self

    # -- sending --

    def seal(self, cmd, stream, body, hop=-1, length=None, early=False, recognized=0, digest=None):
        """A relay cell as bytes: for a hop (default the last), with a wrong length, digest or `recognized` if asked."""
        layers = self.layers if hop == -1 else self.layers[:hop + 1]
        link_cmd = RELAY_EARLY if early else RELAY
        cell = layers[-1].originate(layers[-1].encode(cmd, stream, body, length=length, recognized=recognized,
                                                      digest=digest), link_cmd)
        for layer in reversed(layers[:-1]):
            cell = layer.forward(cell, link_cmd)
        return pack(self.id, link_cmd, cell, self.link.wide)

    def send(self, cmd, stream=0, body=b"", **how):
        self.link.send_raw(self.seal(cmd, stream, body, **how))

    def destroy(self, reason=0):
        self.link.send(self.id, DESTROY, bytes([reason]))

    def establish_intro(self, extensions=b"\0", secret=None, change=None):
        """The last hop becomes an introduction point (rend-spec 3.1.1); returns its authentication key. extensions: count,
        then type, length and body of each; change is done to the message before it is sent."""
        secret = secret or Ed25519PrivateKey.generate()
        key = secret.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        body = b"\2\0\x20" + key + extensions
        body += hashlib.sha3_256(struct.pack("!Q", 20) + self.layers[-1].nonce + body).digest()
        body += b"\0\x40" + secret.sign(b"Tor establish-intro cell v1" + body)
        self.send(ESTABLISH_INTRO, 0, change(body) if change else body)
        self.expect(INTRO_ESTABLISHED)
        return key

    def introduce(self, key, service):
        """INTRODUCE1 on this circuit to the introduction point that `service`, whose key is `key`, made of its last hop."""
        body = bytes(20) + b"\2\0\x20" + key + b"\0" + os.urandom(150)
        self.send(INTRODUCE1, 0, body)
        assert service.expect(INTRODUCE2).body == body, "INTRODUCE2 is not what INTRODUCE1 was"
        status = self.expect(INTRODUCE_ACK).body
        assert status[:2] == b"\0\0", f"INTRODUCE_ACK {status.hex()}"

    def meet(self, cookie, client):
        """RENDEZVOUS1 on this circuit to the last hop, where `client` waits with the cookie; a cell each way crosses."""
        self.send(RENDEZVOUS1, 0, cookie + b"H" * 64)
        assert client.expect(RENDEZVOUS2).body == b"H" * 64, "RENDEZVOUS2 is not what RENDEZVOUS1 was"
        for one, other in ((client, self), (self, client)):
            # Only the far end could read it: it crosses under the rendezvous point's layer.
            one.link.send(one.id, RELAY, os.urandom(BODY_LEN))
            got = other.recv()
            assert isinstance(got, Message) and got.hop == -1, f"crossing the splice came {got}"

    # -- receiving --

    def open_cell(self, cell):
        """Peels layers off a relay cell; sends the SENDME that is due."""
        plain = cell.body
        for hop, layer in enumerate(self.layers):
            plain, tag = layer.backward(plain, cell.cmd)
            if tag is not None:
                cmd, stream, body, tail = layer.decode(plain)
                m = Message(cmd, stream, body, hop, cell.cmd == RELAY_EARLY, tag, tail)
                self._count(m, layer, hop)
                return m
        return Message(0, 0, plain, -1, cell.cmd == RELAY_EARLY)

    def _count(self, message, layer, hop):
        if message.cmd != DATA:
            return
        layer.n_data += 1
        if layer.n_data % layer.increment == 0 and self.auto_sendme:
            self.send(SENDME, 0, struct.pack("!BH", 1, len(message.tag)) + message.tag, hop=hop)

    def recv(self, timeout_s=5):
        """The next Message or Cell of this circuit; those of other circuits wait in their backlog."""
        limit = time.monotonic() + timeout_s
        while not self.backlog:
            circ, thing = self.link.recv_any(limit - time.monotonic())
            (circ.backlog if circ else self.link.others).append(thing)
        return self.backlog.pop(0)

    def await_cell(self, cmd, timeout_s=8):
        thing = self.recv(timeout_s)
        if not isinstance(thing, Cell) or thing.cmd != cmd:
            raise Refused(str(thing))
        return thing

    def expect(self, cmd, stream=None, timeout_s=8):
        thing = self.recv(timeout_s)
        if not isinstance(thing, Message) or thing.cmd != cmd or stream not in (None, thing.stream):
            raise Refused(str(thing))
        return thing

    def read_stream(self, stream, limit_s=20):
        """(bytes, END reason) of a stream until its END."""
        data, limit, n = b"", time.monotonic() + limit_s, 0
        while True:
            m = self.recv(limit - time.monotonic())
            if not isinstance(m, Message) or m.stream != stream:
                raise Refused(str(m))
            if m.cmd == END:
                return data, m.body[0] if m.body else None
            if m.cmd == DATA:
                data, n = data + m.body, n + 1
                if n % 50 == 0 and not self.layers[-1].cc:
                    self.send(SENDME, stream)


class Refused(Exception):
    """Something else came than what was waited for; the text says what."""


def extend2(relay, handshake, **specifiers):
    """Body of EXTEND2."""
    return relay.specifiers(**specifiers) + struct.pack("!HH", handshake.kind, len(handshake.skin)) + handshake.skin


def self_test():
    """Known answers: RFC 5869 case 1's expand step, C tor's vectors of CGO; ntor v3's own round is proven against a relay."""
    import relaycrypt
    prk = bytes.fromhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
    okm = hkdf(prk, bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"), 42)
    assert okm.hex().startswith("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf")
    here = os.path.dirname(os.path.realpath(__file__))
    return relaycrypt.self_test(os.path.join(here, "../../dataplane/cipher/testdata/cgo.txt"))


if __name__ == "__main__":
    print(f"ok torlink: {self_test()} vectors of CGO")
