"""The rendezvous of processes that torchrun has restarted.

torchrun keeps one store over all its restarts, and in it the addresses of processes that have ended: a process that
reads one of those waits forever. This is so as of torch 2.13. Once the oldest supported torch clears its store at a
restart, delete this file and give ``init_process_group`` the store of ``dist.rendezvous``.
"""

from __future__ import annotations

import time
import uuid

from torch import distributed as dist

POLL_SECONDS = 0.05


def store_of_this_start(store: dist.Store, rank: int, size: int) -> dist.Store:
    """The part of torchrun's ``store`` that only the ``size`` processes of this start read and write.

    The count of restarts differs between hosts, so the first process makes up a name, and answers with it only those
    that ask now.
    """
    own = uuid.uuid4().hex
    if rank:
        store.set(f"asks {rank}", own)
        name = store.get(f"for {own}").decode()
        store.set(f"{name} heard by {rank}", "")
        return dist.PrefixStore(name, store)
    while missing := [other for other in range(1, size) if not store.check([f"{own} heard by {other}"])]:
        for other in missing:
            if store.check([f"asks {other}"]):  # perhaps one that has ended: nobody reads its answer
                store.set(f"for {store.get(f'asks {other}').decode()}", own)
        time.sleep(POLL_SECONDS)
    return dist.PrefixStore(own, store)
