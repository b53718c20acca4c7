"""A SOCKS5 client over tor's unix socket, and small HTTP on top: exact times, exact errors, nothing hidden."""
import hashlib
import os
import socket
import struct
import time

CHUNK = 1 << 18
REPLIES = {1: "general failure", 2: "not allowed", 3: "network unreachable", 4: "host unreachable",
           5: "connection refused", 6: "TTL expired", 7: "command not supported", 8: "address not supported",
           0xF0: "onion descriptor not found", 0xF1: "onion descriptor invalid", 0xF2: "onion introduction failed",
           0xF3: "onion rendezvous failed", 0xF6: "onion address invalid", 0xF7: "introduction timed out"}


class SocksError(OSError):
    def __init__(self, code):
        super().__init__(f"SOCKS reply {code}: {REPLIES.get(code, 'unknown')}")
        self.code = code


def _take(s, n):
    data = b""
    while len(data) < n:
        block = s.recv(n - len(data))
        if not block:
            raise ConnectionError(f"closed after {len(data)} of {n} bytes")
        data += block
    return data


def connect(path, host, port, username=None, timeout_s=120):
    """A stream to host:port; the username isolates it on a circuit of its own."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        s.settimeout(timeout_s)
        s.connect(path)
        user = (username or "anyone").encode()
        s.sendall(b"\5\1\2")
        _take(s, 2)
        s.sendall(b"\1" + bytes([len(user)]) + user + b"\1x")
        _take(s, 2)
        name = host.encode()
        s.sendall(b"\5\1\0\3" + bytes([len(name)]) + name + struct.pack("!H", port))
        _, code, _, kind = _take(s, 4)
        _take(s, {1: 4, 4: 16}.get(kind) or _take(s, 1)[0])
        _take(s, 2)
        if code:
            raise SocksError(code)
        return s
    except BaseException:
        s.close()
        raise


def _headers(s):
    """(dict of headers, first bytes of the body)"""
    data = b""
    while b"\r\n\r\n" not in data:
        block = s.recv(CHUNK)
        if not block:
            raise ConnectionError("closed inside the HTTP headers")
        data += block
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if " 200 " not in lines[0]:
        raise ConnectionError(f"HTTP answer {lines[0]}")
    return {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}, rest


def get(s, n, host="dest", progress=None, rest_s=0):
    """Downloads n bytes over stream s: (SHA-256 hex, seconds from the request to the last byte, headers). Nothing is
    read for the first rest_s."""
    began = time.monotonic()
    s.sendall(f"GET /{n} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
    time.sleep(rest_s)
    headers, block = _headers(s)
    h, left = hashlib.sha256(), n
    while True:
        h.update(block)
        left -= len(block)
        if progress:
            progress(n - left)
        if left <= 0:
            break
        block = s.recv(CHUNK)
        if not block:
            raise ConnectionError(f"closed after {n - left} of {n} bytes")
    if left:
        raise ConnectionError(f"{-left} bytes too many")
    return h.hexdigest(), time.monotonic() - began, headers


def put(s, n, host="dest", progress=None, path="sink"):
    """Uploads n random bytes over stream s: (our SHA-256, theirs, seconds to their answer)."""
    block, h, left = os.urandom(CHUNK), hashlib.sha256(), n
    began = time.monotonic()
    s.sendall(f"PUT /{path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {n}\r\n\r\n".encode())
    while left:
        part = block[:min(CHUNK, left)]
        h.update(part)
        s.sendall(part)
        left -= len(part)
        # Another first byte each time: a block lost or sent twice changes the sum.
        block = bytes([(block[0] + 1) & 255]) + block[1:]
        if progress:
            progress(n - left)
    headers, body = _headers(s)
    body += _take(s, int(headers["content-length"]) - len(body))
    return h.hexdigest(), body.decode(), time.monotonic() - began
