"""Frame of a suite: finds the running network and prints one line a case, `ok NAME` or `FAIL NAME why`."""
import os
import sys
import traceback

sys.dont_write_bytecode = True
from nodes import Net, say  # noqa: E402


def network():
    """The network that deploy/test brought up (or RAMSON_NET_PREFIX, RAMSON_NET_DIR name another)."""
    import life
    net = Net(os.environ.get("RAMSON_NET_PREFIX", "rn-"), os.environ.get("RAMSON_NET_DIR"))
    try:
        life.require(net)
    except RuntimeError as e:
        say(f"FAIL network: {e}")
        sys.exit(1)
    return net


class Suite:
    def __init__(self):
        self.n_failed = 0

    def ok(self, name, note=""):
        say(f"ok {name} {note}".rstrip())

    def fail(self, name, why):
        self.n_failed += 1
        say(f"FAIL {name} {' '.join(str(why).split())}")

    def case(self, name, function, *args, again=0):
        """Runs one case; what it returns is shown as a note, what it raises is the reason of its failure. again: how often
        it may be run anew, for cases that need a stock client's own choice of path; that it was is said."""
        try:
            self.ok(name, function(*args) or "")
        except KeyboardInterrupt:
            raise
        except Exception as e:
            if os.environ.get("RAMSON_TRACE"):
                traceback.print_exc()
            why = f"{type(e).__name__}: {e}"
            if not again:
                self.fail(name, why)
                return
            say(f"{name} is run again: {why}")
            self.case(name, function, *args, again=again - 1)

    def end(self):
        sys.exit(1 if self.n_failed else 0)
