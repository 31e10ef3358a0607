"""A run in parts: planned, computed by whichever engine, committed shard by shard, put together.

    plan.py      which videos, cut into shards, and what the answer hangs on
    records.py   a shard's bytes, with checksums
    places.py    where shards lie: a folder, or an object store
    store.py     shards that are whole or absent
    compute.py   from a plan and a pipeline to a shard's content

An engine (threads here, workers elsewhere) computes the shards that `ShardStore.committed` lacks:

    for number in compute_missing(store, missing, pipeline, work):  # anywhere; committed there
        ...
"""

from actspan.shards.compute import Work, compute_missing, in_order
from actspan.shards.places import Folder, Place
from actspan.shards.plan import SHARD_SIZES, Plan, Stamp, origin_of
from actspan.shards.records import Result, decode_shard, encode_shard
from actspan.shards.store import ShardStore, Survey, clear, open_place

__all__ = [
    "SHARD_SIZES",
    "Folder",
    "Place",
    "Plan",
    "Result",
    "ShardStore",
    "Stamp",
    "Survey",
    "Work",
    "clear",
    "compute_missing",
    "decode_shard",
    "encode_shard",
    "in_order",
    "open_place",
    "origin_of",
]
