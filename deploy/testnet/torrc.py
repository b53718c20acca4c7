"""One torrc a node. What a private network of private addresses needs, and which thresholds let flags be earned."""
from nodes import (AUTHORITIES, DEST_NAME, DIR_PORT, GATEWAY4, GATEWAY6, OR_PORT, RELAYS, SLOT2, SLOT_PORT, V4_LEN,
                   V6_LEN)

# A consensus every 20 s. Tor's own floor in testing networks is 10 s; at 20 s three authorities cost about 1 % of
# a core. All three authorities must agree on these numbers, and 20 s must divide a day.
VOTING = """
V3AuthVotingInterval 20 seconds
V3AuthVoteDelay 4 seconds
V3AuthDistDelay 4 seconds
V3AuthNIntervalsValid 3
TestingV3AuthInitialVotingInterval 20 seconds
TestingV3AuthInitialVoteDelay 4 seconds
TestingV3AuthInitialDistDelay 4 seconds
"""

# Flags are earned: no TestingDirAuthVote* option, reachability is tested as on the public network, and the
# thresholds name no relay. They are the public rules with less patience:
#  Running  TestingAuthDirTimeToLearnReachability 0 (from TestingTorNetwork): believed from the first test on. A relay is
#           tested at once when its first descriptor arrives, and later only every 21 minutes, IPv6 too.
#  Stable   until authorities have 4 h of history the rule is uptime: at least the median, or this guarantee.
#  Fast     advertised bandwidth at least this (public: 100 KB). What a fresh relay advertises is what its own self-test
#           showed: 2 to 60 KB/s here, and tor corrects a figure above zero only after 3 hours. So the guarantee must be
#           small; what it still demands is that the self-test happened and was published.
#  HSDir    MinUptimeHidServDirectoryV2 (public: 96 h), V2Dir, Stable and Fast.
#  Guard    Fast, Stable, V2Dir; bandwidth of the upper quarter or a guarantee, as for Fast (public: 2 MB); known for this long at each
#           authority (public: 8 days); reachable 98 % of that time (left as it is).
# With stock tor in the slot all of them are there about a minute after its start.
ENOUGH_S, ENOUGH_BW = 60, 1000
FLAGS = f"""
AuthDirHasIPv6Connectivity 1
AuthDirVoteStableGuaranteeMinUptime {ENOUGH_S} seconds
AuthDirFastGuarantee {ENOUGH_BW} bytes
AuthDirGuardBWGuarantee {ENOUGH_BW} bytes
AuthDirVoteGuardGuaranteeTimeKnown {ENOUGH_S} seconds
MinUptimeHidServDirectoryV2 {ENOUGH_S} seconds
"""

# TestingTorNetwork turns on what private addresses need: DirAllowPrivateAddresses, ExtendAllowPrivateAddresses,
# ExitPolicyRejectPrivate 0, ClientDNSRejectInternalAddresses 0, ClientRejectInternalAddresses 0,
# EnforceDistinctSubnets 0, AuthDirMaxServersPerAddr 0, CountPrivateBandwidth 1, and fast download schedules.
COMMON = """
TestingTorNetwork 1
DataDirectory {data}
Log notice file {dir}/tor.log
SafeLogging 0
ShutdownWaitLength 1
AvoidDiskWrites 1
ControlSocket {dir}/control
CookieAuthentication 0
"""

RELAY = """
Nickname {nickname}
ContactInfo testnet
Address {v4}
Address [{v6}]
ORPort {v4}:{port}
ORPort [{v6}]:{port}
OutboundBindAddress {v4}
OutboundBindAddress [{v6}]
"""

# The network's own relays are there from the beginning and cannot prove themselves to each other before there is a
# consensus. The slot's relay has no such excuse.
PRESUMED = """
AssumeReachable 1
AssumeReachableIPv6 1
"""

EXIT = """
ExitRelay 1
IPv6Exit 1
ExitPolicy accept *:*
ExitPolicy accept6 *:*
"""

# What an exit advertises grows with what it has carried, and a rendezvous point is drawn by that: a fresh relay in the slot
# would hardly ever be it in a network that has been up for a while (hidden.py).
MODEST = "MaxAdvertisedBandwidth 300 KBytes"

EXIT_RESOLVER = "ServerDNSResolvConfFile {resolv}"

# Tor probes its resolver for lies about well-known names; there is no such name in here.
TOR_PROBES = """
ServerDNSDetectHijacking 0
ServerDNSTestAddresses {name}
"""

NO_EXIT = """
ExitRelay 0
ExitPolicy reject *:*
"""

AUTHORITY = """
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
DirPort {v4}:{dirport}
"""

CLIENT = """
SocksPort unix:{dir}/socks IPv6Traffic PreferIPv6 IsolateSOCKSAuth
ClientUseIPv6 1
"""

# What a client learns of build times on an idle network is far too short for the same machine when it compiles.
PATIENT = """
LearnCircuitBuildTimeout 0
CircuitBuildTimeout 30
"""

# Introduction points at every relay there is, so that the slot is one of them without being named.
ONION = """
SocksPort 0
HiddenServiceDir {dir}/service
HiddenServicePort 80 127.0.0.1:80
HiddenServiceNumIntroductionPoints {n_relays}
"""

DATAPLANE = """
DataplanePort af_packet:{iface}
DataplaneAddress {v4}/{v4_len}
DataplaneAddress {v6}/{v6_len}
DataplaneGateway {gw4}
DataplaneGateway {gw6}
DataplanePolling adaptive
"""

# What a relay other than tor is not asked to know: tor's own control socket and its disk habits.
RAMSON_COMMON = """
TestingTorNetwork 1
DataDirectory {data}
Log notice file {dir}/ramson.log
SafeLogging 0
ShutdownWaitLength 1
"""


def dir_authority_lines(net):
    """One line each, in the form of tor(1): needs the keys of keys.py."""
    lines = []
    for a in AUTHORITIES:
        v3ident = net.read(a.name, "v3ident")
        lines.append(f"DirAuthority {a.name} orport={OR_PORT} v3ident={v3ident} ipv6=[{a.v6}]:{OR_PORT} "
                     f"{a.v4}:{DIR_PORT} {net.fingerprint(a)}")
    return "\n".join(lines) + "\n"


def text(net, node, authorities=True, extra=""):
    """The torrc of a node. With authorities=False only what `tor --list-fingerprint` needs."""
    ramson = node.kind == "slot" and net.kind_of(node) == "ramson"
    parts = [RAMSON_COMMON if ramson else COMMON]
    if authorities:
        parts.append(dir_authority_lines(net))
    if node.is_relay:
        parts.append(RELAY)
        parts.append("" if ramson else "SocksPort 0")
        parts.append("" if node.kind == "slot" else PRESUMED)
        parts.append(EXIT if node.kind in ("exit", "slot") else NO_EXIT)
        parts.append(MODEST if node.kind == "exit" else "")
        parts.append(EXIT_RESOLVER if node.kind in ("exit", "slot") else "")
        parts.append(TOR_PROBES if node.kind in ("exit", "slot") and not ramson else "")
    if node.kind == "authority":
        parts += [AUTHORITY, VOTING, FLAGS]
    if node.kind == "client":
        parts.append(CLIENT)
    if node.name == "c1":
        parts.append(PATIENT)
    if node.kind == "onion":
        parts.append(ONION)
    if ramson:
        parts.append(DATAPLANE)
    resolv = net.path(node.name if node.kind == "slot" else "dns", "resolv.conf")
    filled = "\n".join(p.strip() for p in parts if p.strip()).format(
        data=net.data(node), dir=net.path(node.name), nickname=net.nickname(node), v4=node.v4, v6=node.v6,
        port=OR_PORT, n_relays=len(RELAYS) + (net.kind_of(SLOT2) != "none"), dirport=DIR_PORT, resolv=resolv,
        name=DEST_NAME, iface=SLOT_PORT, v4_len=V4_LEN, v6_len=V6_LEN, gw4=GATEWAY4, gw6=GATEWAY6)
    return filled + "\n" + extra


def resolv_conf(server):
    return f"nameserver {server}\noptions timeout:2 attempts:2\n"

