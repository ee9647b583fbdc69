"""Whether the module is shown: what it opens while another one is takes no views, and is shown at its return."""

from __future__ import annotations


class Presence:
    """One for the whole panel."""

    def __init__(self) -> None:
        self._is_left = False
        self._is_unseen = False

    def is_here(self) -> bool:
        return not self._is_left

    def leave(self) -> None:
        """Another module is shown."""
        self._is_left = True

    def come_back(self) -> bool:
        """The module is shown again; whether the views are yet to show the case that is open."""
        self._is_left = False
        is_unseen, self._is_unseen = self._is_unseen, False
        return is_unseen

    def opened(self) -> None:
        """A case has been opened, here or meanwhile."""
        self._is_unseen = self._is_left
