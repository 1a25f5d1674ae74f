"""Next item: one row per history, the item that follows, over the whole catalogue."""

from .._lazy import lazy_exports

_EXPORTS = {
    "HSTUNextItem": "._hstu",
    "SASRecNextItem": "._sasrec",
    "leave_last_out": "._log",
    "make_prefixes": "._log",
}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
