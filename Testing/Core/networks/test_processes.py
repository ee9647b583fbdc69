import threading
from contextlib import suppress

from torch import distributed as dist

from voxmmsd.compute.rendezvous import store_of_this_start


class KilledWhileWaiting:
    """The store of a process that is killed when it first waits for an answer."""

    def __init__(self, store):
        self.set = store.set

    def get(self, key):
        raise InterruptedError


def meet(store, rank, size, token, met):
    own = store_of_this_start(store, rank, size)
    own.set(f"address {rank}", token)
    met.append([own.get(f"address {each}").decode() for each in range(size)])


def test_processes_that_are_started_again_meet_each_other_and_not_those_that_are_gone():
    """torchrun keeps its store over restarts: what a start left there must not be taken for the next one's."""
    store = dist.HashStore()
    for token in ("first start", "second start", "third start"):
        with suppress(InterruptedError):
            store_of_this_start(KilledWhileWaiting(store), 2, 3)
        met = []
        threads = [threading.Thread(target=meet, args=(store, rank, 3, token, met), daemon=True) for rank in (0, 1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert met == [[token] * 3] * 3
