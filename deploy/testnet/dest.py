#!/usr/bin/python3
"""The destination host: HTTP files with known SHA-256, an upload sink, echo, and two ways of ending badly."""
import hashlib
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK = 1 << 18


def make_file(directory, n):
    """Makes a file of n random bytes with its SHA-256 beside it; returns its path."""
    path = os.path.join(directory, str(n))
    if os.path.exists(path + ".sha256"):
        return path
    h, left = hashlib.sha256(), n
    part = f"{path}.{threading.get_ident()}"
    with open(part, "wb") as f:
        while left:
            block = os.urandom(min(CHUNK, left))
            h.update(block)
            f.write(block)
            left -= len(block)
    os.rename(part, path)
    with open(part, "w") as f:
        f.write(h.hexdigest() + "\n")
    os.rename(part, path + ".sha256")
    return path


class Handler(BaseHTTPRequestHandler):
    """GET /N answers N bytes; PUT /anything answers the SHA-256 of what came, PUT /slow begins to read it after 4 s."""
    directory = "."
    lock = threading.Lock()

    def do_GET(self):
        try:
            n = int(self.path.strip("/"))
        except ValueError:
            return self.send_error(404)
        with self.lock:
            path = make_file(self.directory, n)
        self.send_response(200)
        self.send_header("Content-Length", str(n))
        # Who asked: proves which relay was the exit, and over which family.
        self.send_header("X-Peer", self.client_address[0].removeprefix("::ffff:"))
        self.end_headers()
        self.wfile.flush()
        with open(path, "rb") as f:
            try:
                self.connection.sendfile(f)
            except ConnectionError:
                pass

    def do_PUT(self):
        left, h = int(self.headers.get("Content-Length", "0")), hashlib.sha256()
        if self.path == "/slow":
            time.sleep(4)
        while left:
            block = self.rfile.read(min(CHUNK, left))
            if not block:
                return
            h.update(block)
            left -= len(block)
        body = h.hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 256

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request, client_address):
        pass  # a peer that goes away is what some tests are about


def echo(s):
    while block := s.recv(CHUNK):
        s.sendall(block)


def reset(s):
    """Reads one byte, then RST: SO_LINGER with zero time."""
    s.recv(1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def fin_with_data(s):
    """Answers a request of one byte with 5 bytes and FIN at once; what comes later is read and dropped."""
    s.recv(1)
    s.sendall(b"hello")
    s.shutdown(socket.SHUT_WR)
    while s.recv(CHUNK):
        pass


def serve(port, function):
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=256)

    def one(s):
        with s:
            try:
                function(s)
            except OSError:
                pass

    def loop():
        while True:
            s, _ = listener.accept()
            threading.Thread(target=one, args=(s,), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


def main():
    Handler.directory = sys.argv[1]
    os.makedirs(Handler.directory, exist_ok=True)
    serve(7, echo)
    serve(8001, reset)
    serve(8002, fin_with_data)
    Server(("::", 80), Handler).serve_forever()


if __name__ == "__main__":
    main()
