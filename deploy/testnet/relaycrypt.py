"""The client's side of one hop's relay crypto, tor1 and Counter Galois Onion, with the message format that goes with each.

Both have the same four verbs: encode and decode a message, originate a cell for this hop, forward one for a hop behind it,
and backward, which takes this hop's layer off and gives the SENDME tag if the cell was its own. Plain and slow on purpose.
"""
import hashlib
import os
import struct
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

PAYLOAD, RELAY = 509, 3
# Commands whose V1 message carries a stream id: BEGIN DATA END CONNECTED RESOLVE RESOLVED BEGIN_DIR XOFF XON.
WITH_STREAM = {1, 2, 3, 4, 11, 12, 13, 43, 44}


def _filled(plain, zeros=4):
    """A message with an endpoint's padding: four zero bytes, then random ones."""
    if len(plain) < PAYLOAD:
        plain += bytes(zeros) + os.urandom(PAYLOAD)
    return plain[:PAYLOAD]


class Tor1:
    """tor-spec 5.5 and 6.1: keys are Df, Db, Kf, Kb, KH."""
    name, keys_len, body_max, tag_len = "tor1", 92, 498, 20

    def __init__(self, keys):
        def ctr(key):
            return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
        self.fwd_digest, self.back_digest = hashlib.sha1(keys[0:20]), hashlib.sha1(keys[20:40])
        self.fwd, self.back, self.nonce = ctr(keys[40:56]), ctr(keys[56:72]), keys[72:92]
        self.n_data, self.increment, self.cc, self.sent_tag = 0, 100, False, b""

    def encode(self, cmd, stream, body, length=None, recognized=0, digest=None):
        plain = _filled(struct.pack("!BHH4xH", cmd, recognized, stream, len(body) if length is None else length) + body)
        self.fwd_digest.update(plain)
        self.sent_tag = self.fwd_digest.digest()
        return plain[:5] + (self.sent_tag[:4] if digest is None else digest) + plain[9:]

    def originate(self, plain, link_cmd=RELAY):
        return self.fwd.update(plain)

    forward = originate

    def backward(self, data, link_cmd=RELAY):
        plain = self.back.update(data)
        if plain[1:3] != b"\0\0" or struct.unpack_from("!H", plain, 9)[0] > self.body_max:
            return plain, None
        trial = self.back_digest.copy()
        trial.update(plain[:5] + bytes(4) + plain[9:])
        if trial.digest()[:4] != plain[5:9]:
            return plain, None
        self.back_digest = trial
        return plain, trial.digest()

    def decode(self, plain):
        """(command, stream id, body, what is behind it)"""
        cmd, stream, n = struct.unpack_from("!B2xH4xH", plain)
        return cmd, stream, plain[11:11 + n], plain[11 + n:]


# ---- Counter Galois Onion (proposal 359) ----

def _double(v):
    """v * x in POLYVAL's field, bit i of the integer being x^i."""
    v <<= 1
    return v ^ (1 << 128 | 1 << 127 | 1 << 126 | 1 << 121 | 1) if v >> 128 else v


def _multiply(a, b):
    out = 0
    while a:
        if a & 1:
            out ^= b
        a, b = a >> 1, _double(b)
    return out


# x^-128, which POLYVAL's product carries (RFC 8452, section 3).
_X_MINUS_128 = 1 << 127 | 1 << 124 | 1 << 121 | 1 << 114 | 1


class Polyval:
    """POLYVAL of RFC 8452 under one key; the powers of x in its product are made once."""

    def __init__(self, key):
        h = _multiply(int.from_bytes(key, "little"), _X_MINUS_128)
        self.table = []
        for _ in range(128):
            self.table.append(h)
            h = _double(h)

    def __call__(self, data):
        state = 0
        for i in range(0, len(data), 16):
            x, state = state ^ int.from_bytes(data[i:i + 16].ljust(16, b"\0"), "little"), 0
            for row in self.table:
                if x & 1:
                    state ^= row
                x >>= 1
        return state.to_bytes(16, "little")


def _xor(a, b):
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")


class Uiv:
    """UIV+: a wide-block cipher over 509 bytes with a tweak, and its key update."""

    def __init__(self, keys):
        self.keys = keys
        self.j, self.j_hash = Cipher(algorithms.AES(keys[:16]), modes.ECB()), Polyval(keys[16:32])
        self.s_key, self.s_hash = keys[32:48], Polyval(keys[48:64])

    def _et(self, left, tweak, encrypt):
        mask = self.j_hash(tweak)
        engine = self.j.encryptor() if encrypt else self.j.decryptor()
        return _xor(engine.update(_xor(left, mask)), mask)

    def _prf(self, left, n, offset=0):
        counter = bytearray(self.s_hash(left))
        counter[15] = (counter[15] & 0xc0) + offset
        return Cipher(algorithms.AES(self.s_key), modes.CTR(bytes(counter))).encryptor().update(bytes(n))

    def encrypt(self, tprime, cmd, data):
        left = self._et(data[:16], tprime + bytes([cmd]) + data[16:], True)
        return left + _xor(data[16:], self._prf(left, PAYLOAD - 16))

    def decrypt(self, tprime, cmd, data):
        right = _xor(data[16:], self._prf(data[:16], PAYLOAD - 16))
        return self._et(data[:16], tprime + bytes([cmd]) + right, False) + right

    def update(self, nonce):
        """The next keys and nonce."""
        fresh = self._prf(nonce, 80, 31)
        return Uiv(fresh[:64]), fresh[64:]


class Cgo:
    """Keys: J AES, J POLYVAL, S AES, S POLYVAL, N for each direction, then KH. A client decrypts both ways."""
    name, keys_len, body_max, tag_len = "CGO", 180, 490, 16

    def __init__(self, keys):
        self.fwd, self.fwd_n, self.fwd_t = Uiv(keys[:64]), keys[64:80], bytes(16)
        self.back, self.back_n, self.back_t = Uiv(keys[80:144]), keys[144:160], bytes(16)
        self.nonce = keys[160:180]
        self.n_data, self.increment, self.cc, self.sent_tag = 0, 31, True, b""

    def encode(self, cmd, stream, body, length=None, **_):
        head = struct.pack("!BH", cmd, len(body) if length is None else length)
        return _filled(bytes(16) + head + (struct.pack("!H", stream) if cmd in WITH_STREAM else b"") + body)

    def forward(self, data, link_cmd=RELAY):
        out = self.fwd.decrypt(self.fwd_t, link_cmd, data)
        self.fwd_t = data[:16]
        return out

    def originate(self, plain, link_cmd=RELAY):
        out = self.forward(self.fwd_n + plain[16:], link_cmd)
        self.fwd, self.fwd_n = self.fwd.update(self.fwd_n)
        self.sent_tag = out[:16]
        return out

    def backward(self, data, link_cmd=RELAY):
        plain = self.back.decrypt(self.back_t, link_cmd, data)
        self.back_t = data[:16]
        if plain[:16] != self.back_n:
            return plain, None
        self.back, self.back_n = self.back.update(data[:16])
        return plain, data[:16]

    def decode(self, plain):
        cmd, n = struct.unpack_from("!BH", plain, 16)
        if cmd in WITH_STREAM:
            return cmd, struct.unpack_from("!H", plain, 19)[0], plain[21:21 + n], plain[21 + n:]
        return cmd, 0, plain[19:19 + n], plain[19 + n:]


# ---- known answers ----

def _vectors(path):
    """The blocks of a vector file: what is done, and {name: bytes}."""
    with open(path) as f:
        for block in f.read().split("\n\n"):
            lines = [x for x in block.splitlines() if x and not x.startswith("#")]
            if lines:
                yield lines[0], {k: bytes.fromhex(v) for k, v in (x.split() for x in lines[1:])}


def _parts(state):
    return Uiv(state[:64]), state[64:80], state[80:96]


def _check_originate(v):
    layers, data = [], v["in"]
    for i in range(0, len(v["state"]), 96):
        layer = Cgo(bytes(180))
        layer.fwd, layer.fwd_n, layer.fwd_t = _parts(v["state"][i:i + 96])
        layers.append(layer)
    at, cmd = v["hop"][0] - 1, v["command"][0]
    data = layers[at].originate(data, cmd)
    for layer in reversed(layers[:at]):
        data = layer.forward(data, cmd)
    after = b"".join(x.fwd.keys + x.fwd_n + x.fwd_t for x in layers)
    return data == v["out"] and after == v["after"]


def _check_backward(v, originated):
    """What a relay did backward is undone by the client."""
    layer = Cgo(bytes(180))
    layer.back, layer.back_n, layer.back_t = _parts(v["state"])
    if not originated and v["in"][:16] == layer.back_n:
        return True  # a relay's cell of all zeros under a nonce of all zeros: a client would take it for its own
    plain, tag = layer.backward(v["out"], v["command"][0])
    after = layer.back.keys + layer.back_n + layer.back_t
    return plain[16:] == v["in"][16:] and (tag is not None) == originated and after == v["after"]


def self_test(path):
    """Holds this file against the vectors of C tor; returns how many there were."""
    checks = {
        "uiv encrypt": lambda v: Uiv(v["keys"]).encrypt(v["tweak"][:16], v["tweak"][16], v["in"]) == v["out"],
        "uiv decrypt": lambda v: Uiv(v["keys"]).decrypt(v["tweak"][:16], v["tweak"][16], v["in"]) == v["out"],
        "client originate": _check_originate,
        "relay back": lambda v: _check_backward(v, False),
        "relay originate": lambda v: _check_backward(v, True),
    }
    n = 0
    for what, v in _vectors(path):
        if what in checks:
            assert checks[what](v), f"{what}: vector {n} does not hold"
            n += 1
    return n
