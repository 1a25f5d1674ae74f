"""Splits of a log that don't leak: by user, by time, or both."""

from .._lazy import lazy_exports

_EXPORTS = {
    "LeaveLastOut": "._leave_last_out",
    "TimeSplit": "._time_split",
    "UserSplit": "._user_split",
}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
