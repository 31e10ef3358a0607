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
