"""A long way in one node's leg: delay and loss between it and some peers, for as long as a suite needs it. The way itself
is path.c, in a namespace of its own between node and bridge; all other traffic of the node passes at once."""
import json
import os
import time
import process
import space
from nodes import BY_NAME
from slots import BUILD
from traffic import Failed

NAME = "far"  # the namespace, and the directory with the log


class Way:
    """Use as a context manager. delay_ms is added each way, so a round trip takes twice that; loss is in percent, each
    way. What the program did stands in `told` afterwards."""

    def __init__(self, net, node, peers, delay_ms=50, loss=0, seed=1, rate_mbit=0):
        self.net, self.node, self.told = net, BY_NAME[node], None
        self.argv = [os.path.join(BUILD, "testnet-path"), "--delay-ms", str(delay_ms), "--loss", str(loss),
                     "--seed", str(seed), "--rate-mbit", str(rate_mbit), space.FAR_NODE, space.FAR_LAN]
        for peer in peers:
            self.argv += [BY_NAME[peer].v4, BY_NAME[peer].v6]

    def _words(self):
        return (self.net.read(NAME, "out.log") or "").split("\n")

    def __enter__(self):
        if not os.access(self.argv[0], os.X_OK):
            raise Failed(f"{self.argv[0]} is not there: ninja -C build")
        left = self.net.read(NAME, "node")  # by a run that was killed
        if left and self.net.ns(NAME) in space.existing(self.net):
            process.stop(self.net, NAME)
            space.rejoin(self.net, BY_NAME[left])
        self.net.write(self.node.name, NAME, "node")
        space.part(self.net, self.node)
        try:
            self.net.write("", NAME, "out.log")
            pid = process.start(self.net, NAME, self.argv)
            limit = time.monotonic() + 10
            while self._words()[0] != "ready":
                if time.monotonic() > limit or not process.pid_of(self.net, NAME):
                    raise Failed(f"the long way (pid {pid}) did not start: {self._words()}")
                time.sleep(0.05)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *exc):
        process.stop(self.net, NAME)
        space.rejoin(self.net, self.node)
        if self._words()[-1].startswith("{"):
            self.told = json.loads(self._words()[-1])
        return False

    def check(self, loss):
        """Raises unless the way did what it was asked for; returns a note about it."""
        if not self.told:
            raise Failed(f"the long way said nothing at its end: {self._words()}")
        ways = [self.told["there"], self.told["back"]]
        for w in ways:
            if not w["frames"] or (w["lost"] > 0) != (loss > 0) or w["too_big"] or w["unsent"] or w["kernel"]:
                raise Failed(f"not the way that was asked for: {self.told}")
        return (f"{sum(w['frames'] for w in ways)} frames, {sum(w['lost'] for w in ways)} lost, "
                f"at most {self.told['overslept_ms']:.0f} ms late")
