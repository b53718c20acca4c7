#!/usr/bin/python3
"""A resolver that misbehaves in one way at a time: slow, silent, truncating, lying, or answering rubbish."""
import random
import socket
import struct
import sys
import threading
import time

# MODE: slow     answers after 0.7 s
#       silent   reads, never answers
#       truncate UDP answers say TC and carry nothing; TCP answers are whole
#       lying    first four wrong answers (other id, other name, other type, no question), then the right one
#       rubbish  random bytes behind a good header
#       servfail SERVFAIL to everything
MODE = sys.argv[1]
V4, V6 = sys.argv[2], sys.argv[3]
A, AAAA = 1, 28


def question(packet):
    """(name as wire labels, lower-case dotted name, type, end of the question)"""
    pos, labels = 12, []
    while packet[pos]:
        labels.append(packet[pos + 1:pos + 1 + packet[pos]])
        pos += 1 + packet[pos]
    kind, = struct.unpack_from("!H", packet, pos + 1)
    return packet[12:pos + 1], b".".join(labels).lower().decode("latin-1"), kind, pos + 5


def answer(packet, ident=None, asked=None, flags=0x8180, addresses=True, other_name=None):
    _, name, kind, end = question(packet)
    data = {A: socket.inet_aton(V4), AAAA: socket.inet_pton(socket.AF_INET6, V6)}.get(kind)
    if other_name:
        # A lie leads elsewhere: whoever takes it shows it by where it connects.
        data = socket.inet_aton("10.77.0.99") if kind == A else data
    here = name.endswith("dest.test") and data and not (name.startswith("v4") and kind == AAAA) \
        and not (name.startswith("v6") and kind == A)
    known = name.endswith("dest.test")
    n = 1 if addresses and here else 0
    code = flags if known else flags | 3
    head = struct.pack("!HHHHHH", struct.unpack("!H", packet[:2])[0] if ident is None else ident, code, 1, n, 0, 0)
    body = (other_name or packet[12:end - 4]) + (asked or packet[end - 4:end])
    record = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 300, len(data or b"")) + (data or b"") if n else b""
    return head + body + record


def answers(packet, tcp):
    ident, = struct.unpack("!H", packet[:2])
    if MODE == "silent":
        return []
    if MODE == "slow":
        time.sleep(0.7)
    if MODE == "truncate" and not tcp:
        return [answer(packet, flags=0x8380, addresses=False)]
    if MODE == "servfail":
        return [answer(packet, flags=0x8182, addresses=False)]
    if MODE == "rubbish":
        return [packet[:2] + b"\x81\x80\0\1\0\5\0\0\0\0" + bytes(random.randrange(256) for _ in range(90))]
    if MODE == "lying":
        lie = b"\5other\4test\0"
        return [answer(packet, ident=ident ^ 1, other_name=packet[12:question(packet)[3] - 4]),
                answer(packet, other_name=lie), answer(packet, asked=b"\0\x10\0\1", other_name=lie), answer(packet)]
    return [answer(packet)]


def serve_udp(s):
    while True:
        packet, peer = s.recvfrom(4096)

        def one(packet=packet, peer=peer):
            for a in answers(packet, False):
                s.sendto(a, peer)
        threading.Thread(target=one, daemon=True).start()


def serve_tcp(listener):
    while True:
        s, _ = listener.accept()

        def one(s=s):
            with s:
                s.settimeout(5)
                while True:
                    head = s.recv(2)
                    if len(head) < 2:
                        return
                    packet = s.recv(struct.unpack("!H", head)[0])
                    for a in answers(packet, True):
                        s.sendall(struct.pack("!H", len(a)) + a)
        threading.Thread(target=one, daemon=True).start()


def main():
    # Answers must come from the address that was asked, and there are two: one socket each.
    sockets = []
    for address in sys.argv[4:]:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((address, 53))
        listener = socket.create_server((address, 53))
        sockets += [threading.Thread(target=serve_udp, args=(udp,)),
                    threading.Thread(target=serve_tcp, args=(listener,))]
    for thread in sockets:
        thread.start()


if __name__ == "__main__":
    main()
