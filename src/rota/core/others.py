"""The other servers on the same store, as the service sees them: nobody, where the store cannot be shared.
:class:`rota.core.peers.Peers` is what stands here where it can.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rota.core.servers import Counted, ServerNote
    from rota.core.worker import Worker


class Others:
    """Nobody. What is told to them costs nothing."""

    def wake(self, queues: Iterable[str]) -> None:
        """Something may have changed in these queues."""

    def stop(self, jobs: Sequence[tuple[str, int, str]]) -> None:
        """Running jobs (id, lease, worker) that their workers, wherever they are, shall give up."""

    async def left_by(self, worker: Worker) -> list[tuple[str, int]]:
        """Leases of a worker whose connection has ended, as far as it did not go on at another server."""
        return list(worker.taken)

    def marked(self) -> None:
        """Queues were paused or resumed."""

    async def drain(self, worker: str) -> bool:
        """Ask a worker of another server to drain. False: there is none of that id. Raises StoreError."""
        return False

    @property
    def servers(self) -> Sequence[ServerNote]:
        """This server and the others, where the store can be shared."""
        return ()

    async def heard(self) -> None:
        """Return when the others know to what is listened here, as far as that can be known."""

    def figures(self) -> Sequence[Counted]:
        """What the others have counted since they started; see :class:`rota.core.servers.Counted`."""
        return ()

    def mean_run(self, queue: str, type: str) -> tuple[int, float]:
        """Runs of a kind of job at the others, and the seconds they took together."""
        return 0, 0.0
