"""Users, items, impressions and histories of the synthetic log, and what attracts clicks.

Everything is an array of codes and effects here; `_synthetic` turns them into a frame.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

AGE_GROUPS = ["18-24", "25-34", "35-44", "45-54", "55+"]
DEVICES = ["desktop", "mobile", "tablet", "tv"]
N_SEGMENTS = 6
N_POSITIONS = 6
ITEMS_PER_ADVERTISER = 5
# Share of a latent vector's variance that the segment (users) or the category (items) explains:
# what is left is the id's own, so fields help cold ids and ids still add to fields.
GROUP_SHARE = 0.75
# A browsing stream leaves its category with this probability at each event.
SWITCH_PROBABILITY = 0.3
LOG_PRICE_MEAN, LOG_PRICE_ITEM_STD, LOG_PRICE_ROW_STD = 3.0, 0.8, 0.3
N_DAYS = 28


@dataclass(frozen=True)
class World:
    """What the users and items are, before any impression; one array entry per user or item."""

    user_popularity: np.ndarray
    user_segment: np.ndarray
    user_age: np.ndarray
    user_vector: np.ndarray
    user_click: np.ndarray
    user_conversion: np.ndarray
    item_popularity: np.ndarray
    item_category: np.ndarray
    item_advertiser: np.ndarray
    item_vector: np.ndarray
    item_log_price: np.ndarray
    item_click: np.ndarray
    item_conversion: np.ndarray
    category_vector: np.ndarray
    # One effect per level; the last entry belongs to "missing", whose code is -1.
    device_click: np.ndarray
    device_conversion: np.ndarray


@dataclass(frozen=True)
class Rows:
    """One entry per impression; codes index the arrays of the world."""

    seconds: np.ndarray
    user: np.ndarray
    item: np.ndarray
    device: np.ndarray
    position: np.ndarray
    log_price: np.ndarray
    quality: np.ndarray


@dataclass(frozen=True)
class History:
    """Histories as Arrow stores lists: row r holds items[offsets[r]:offsets[r + 1]]."""

    offsets: np.ndarray
    items: np.ndarray


def draw_world(rng, n_users, n_items, n_categories, latent_dim, zipf_exponent, missing_rate):
    segment_vector = rng.standard_normal((N_SEGMENTS, latent_dim))
    category_vector = rng.standard_normal((n_categories, latent_dim))
    user_segment = rng.integers(N_SEGMENTS, size=n_users)
    # Every category gets an item: the history draws an item of a given category.
    item_category = rng.permutation(np.arange(n_items) % n_categories)

    age = rng.integers(len(AGE_GROUPS), size=n_users)
    age[rng.random(n_users) < missing_rate] = -1
    age_click = rng.normal(0, 0.3, len(AGE_GROUPS) + 1)
    n_advertisers = -(-n_items // ITEMS_PER_ADVERTISER)
    advertiser = rng.integers(n_advertisers, size=n_items)
    advertiser_click = rng.normal(0, 0.3, n_advertisers)
    user_popularity = _zipf(rng, n_users, zipf_exponent)
    item_popularity = _zipf(rng, n_items, zipf_exponent)
    user_vector, item_vector = _pure_interaction(
        _around(rng, segment_vector[user_segment]),
        user_popularity,
        _around(rng, category_vector[item_category]),
        item_popularity,
    )
    return World(
        user_popularity=user_popularity,
        user_segment=user_segment,
        user_age=age,
        user_vector=user_vector,
        user_click=rng.normal(0, 0.3, n_users) + age_click[age],
        user_conversion=rng.normal(0, 0.3, n_users),
        item_popularity=item_popularity,
        item_category=item_category,
        item_advertiser=advertiser,
        item_vector=item_vector,
        item_log_price=rng.normal(LOG_PRICE_MEAN, LOG_PRICE_ITEM_STD, n_items),
        item_click=rng.normal(0, 0.3, n_items) + advertiser_click[advertiser],
        item_conversion=rng.normal(0, 0.3, n_items),
        category_vector=category_vector,
        device_click=rng.normal(0, 0.3, len(DEVICES) + 1),
        device_conversion=rng.normal(0, 0.3, len(DEVICES) + 1),
    )


def _zipf(rng, n, exponent):
    """Probabilities falling by rank, in an order that the id does not reveal."""
    weight = rng.permutation(np.arange(1.0, n + 1) ** -exponent)
    return weight / weight.sum()


def _around(rng, centre):
    """Unit-variance vectors of which the group's centre explains GROUP_SHARE."""
    own = rng.standard_normal(centre.shape)
    return np.sqrt(GROUP_SHARE) * centre + np.sqrt(1 - GROUP_SHARE) * own


def _pure_interaction(user_vector, user_popularity, item_vector, item_popularity):
    """Centre and scale the vectors so that their product has variance 1 and no main effect.

    Users and items are drawn independently, so E<u, i>**2 = trace(cov(u) cov(i)) once centred.
    """
    user_vector = user_vector - user_popularity @ user_vector
    item_vector = item_vector - item_popularity @ item_vector
    user_cov = (user_vector.T * user_popularity) @ user_vector
    item_cov = (item_vector.T * item_popularity) @ item_vector
    variance = np.sum(user_cov * item_cov)
    # A single user or item leaves nothing to interact: the vectors are zero.
    scale = variance**-0.25 if variance > 0 else 0.0
    return scale * user_vector, scale * item_vector


def draw_rows(rng, world, n_samples, missing_rate):
    user = _choice(rng, world.user_popularity, n_samples)
    item = _choice(rng, world.item_popularity, n_samples)
    device = rng.integers(len(DEVICES), size=n_samples)
    device[rng.random(n_samples) < missing_rate] = -1
    quality = rng.standard_normal(n_samples)
    quality[rng.random(n_samples) < missing_rate] = np.nan
    return Rows(
        seconds=np.sort(rng.integers(N_DAYS * 86_400, size=n_samples)),
        user=user,
        item=item,
        device=device,
        position=rng.integers(1, N_POSITIONS + 1, size=n_samples),
        log_price=world.item_log_price[item] + rng.normal(0, LOG_PRICE_ROW_STD, n_samples),
        quality=quality,
    )


def _choice(rng, probability, size):
    cumulative = np.cumsum(probability)
    drawn = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")
    return np.minimum(drawn, len(probability) - 1)


def draw_history(rng, world, user, history_length):
    """A window over each user's stream of events, one event further at each impression."""
    n_rows = len(user)
    seen = np.bincount(user, minlength=len(world.user_popularity))
    # Events before the log starts: from a stranger to a user with a full history.
    backlog = np.where(seen > 0, rng.integers(history_length + 1, size=len(seen)), 0)
    stream_length = seen + backlog
    stream_start = np.cumsum(stream_length) - stream_length
    event_user = np.repeat(np.arange(len(seen)), stream_length)
    event_item = _draw_events(rng, world, event_user, stream_start[stream_length > 0])

    order = np.argsort(user, kind="stable")
    nth_impression = np.empty(n_rows, dtype=np.int64)
    nth_impression[order] = np.arange(n_rows) - np.repeat(np.cumsum(seen) - seen, seen)
    stop = stream_start[user] + backlog[user] + nth_impression
    start = np.maximum(stream_start[user], stop - history_length)
    offsets = np.concatenate([[0], np.cumsum(stop - start)])
    event = np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], stop - start)
    return History(offsets=offsets, items=event_item[event])


def _draw_events(rng, world, event_user, first_events):
    """Items of the streams: a category is kept for a while, its items are drawn by popularity."""
    n_events = len(event_user)
    switch = rng.random(n_events) < SWITCH_PROBABILITY
    switch[first_events] = True
    switching = np.flatnonzero(switch)
    # The Gumbel trick draws from the softmax of each user's preferences in one pass.
    preference = world.user_vector[event_user[switching]] @ world.category_vector.T
    preference += rng.gumbel(size=preference.shape)
    category = preference.argmax(axis=1)[np.cumsum(switch) - 1]

    by_category = np.argsort(world.item_category, kind="stable")
    cumulative = np.cumsum(world.item_popularity[by_category])
    last = np.cumsum(np.bincount(world.item_category)) - 1
    upper = cumulative[last]
    lower = np.concatenate([[0.0], upper[:-1]])
    drawn = lower[category] + rng.random(n_events) * (upper - lower)[category]
    slot = np.searchsorted(cumulative, drawn, side="right")
    return by_category[np.minimum(slot, last[category])]


def additive_effects(world, rows):
    price = (rows.log_price - LOG_PRICE_MEAN) / np.hypot(LOG_PRICE_ITEM_STD, LOG_PRICE_ROW_STD)
    quality = np.where(np.isnan(rows.quality), -0.3, 0.4 * rows.quality)
    effects = world.user_click[rows.user] + world.item_click[rows.item]
    return effects + world.device_click[rows.device] - 0.3 * price + quality


def conversion_effects(world, rows):
    effects = world.user_conversion[rows.user] + world.item_conversion[rows.item]
    return effects + world.device_conversion[rows.device]


def pair_effects(world, rows):
    return np.einsum("nd,nd->n", world.user_vector[rows.user], world.item_vector[rows.item])


def category_in_history(world, rows, history):
    length = np.diff(history.offsets)
    candidate = np.repeat(world.item_category[rows.item], length)
    hit = world.item_category[history.items] == candidate
    n_hits = np.concatenate([[0], np.cumsum(hit)])
    return n_hits[history.offsets[1:]] > n_hits[history.offsets[:-1]]


def probability_with_mean(logit, mean, weight=None):
    """Probabilities whose weighted mean is `mean`, from logits known up to a constant."""

    def excess(intercept):
        return np.average(expit(logit + intercept), weights=weight) - mean

    target = np.log(mean / (1 - mean))
    # At these ends every single probability lies on one side of the mean.
    low, high = target - logit.max() - 1, target - logit.min() + 1
    return expit(logit + brentq(excess, low, high, xtol=1e-6))
