"""Keys that must exist before the first start: authority certificates and the relays' fingerprints."""
import os
import shutil
import subprocess
import torrc
from nodes import AUTHORITIES, DIR_PORT, NODES, say


def _authority_certificate(net, node):
    keys = net.path(node.name, "data", "keys")
    cert = os.path.join(keys, "authority_certificate")
    if not os.path.exists(cert):
        os.makedirs(keys, mode=0o700, exist_ok=True)
        subprocess.run(["tor-gencert", "--create-identity-key", "-m", "12", "-a", f"{node.v4}:{DIR_PORT}",
                        "--passphrase-fd", "0",
                        "-i", os.path.join(keys, "authority_identity_key"),
                        "-s", os.path.join(keys, "authority_signing_key"), "-c", cert],
                       input=b"testnet\n", check=True, capture_output=True)
    with open(cert) as f:
        ident = next(line.split()[1] for line in f if line.startswith("fingerprint "))
    net.write(ident + "\n", node.name, "v3ident")


def _identity(net, node):
    """Lets tor make its identity keys, so that the fingerprint is known before anybody runs."""
    if net.fingerprint(node):
        return
    os.makedirs(net.data(node), mode=0o700, exist_ok=True)
    # A place-holder: tor wants one authority line that is its own, or any, before it looks at its keys.
    dummy = f"DirAuthority d orport=1 v3ident={'A' * 40} 127.0.0.1:1 {'B' * 40}\n"
    rc = net.path(node.name, "torrc.keys")
    net.write(torrc.text(net, node, authorities=False, extra=dummy), node.name, "torrc.keys")
    p = subprocess.run(["tor", "--list-fingerprint", "-f", rc, "--quiet"], capture_output=True, text=True)
    if not net.fingerprint(node):
        raise RuntimeError(f"tor --list-fingerprint for {node.name}: {p.stdout}{p.stderr}")
    os.unlink(rc)


def make(net):
    """Idempotent. The slot makes its own keys when it starts."""
    if not shutil.which("tor-gencert"):
        raise RuntimeError("tor-gencert is missing: run deploy/deps")
    for node in AUTHORITIES:
        if not net.read(node.name, "v3ident"):
            say(f"net: keys of authority {node.name}")
            _authority_certificate(net, node)
    for node in NODES:
        if node.is_relay and node.kind != "slot":
            _identity(net, node)
