"""Logs to learn on: a grocer's ad impressions, synthetic ones with known truth, MovieLens."""

from .._lazy import lazy_exports

_EXPORTS = {
    "load_complete_journey_impressions": "._complete_journey",
    "load_complete_journey_purchases": "._complete_journey",
    "make_ad_log": "._synthetic",
    "fetch_movielens": "._movielens",
    "get_data_home": "._data_home",
    "clear_data_home": "._data_home",
}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
