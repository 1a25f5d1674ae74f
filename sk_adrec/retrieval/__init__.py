"""Retrievers: from a log of users and items to the k best items of each user."""

from .._lazy import lazy_exports

_EXPORTS = {
    "EASERetriever": "._ease",
    "ItemCF": "._item_cf",
    "TwoTowerRetriever": "._two_tower",
    "interactions_from_lists": "._log.convert",
    "interactions_from_matrix": "._log.convert",
}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
