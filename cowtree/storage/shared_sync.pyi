"""One sync at a time, for all who wait for one."""

from typing import final

@final
class SharedSync: ...
