"""Runs in shards: planned, computed by any engine, committed one by one, and joined.

    plan.py      videos cut into shards, and everything that the answer depends on
    records.py   encoding of shards, with checksums
    places.py    storage of shards: a folder, or an object store
    store.py     shards of a run, each complete or absent
    compute.py   computation of shards with a pipeline

An engine (local threads, or remote workers) computes the shards that `ShardStore.committed` lacks:

    for number in compute_missing(store, missing, pipeline, work):  # computed and committed
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
