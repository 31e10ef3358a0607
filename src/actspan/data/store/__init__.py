"""Packed datasets: features in a few memory-mapped Arrow files instead of one file per video."""

from actspan.data.store.manifest import MANIFEST, Manifest, find_manifest
from actspan.data.store.places import Packed, Places
from actspan.data.store.remote import open_remote
from actspan.data.store.shards import Shard, open_shard, open_shards

__all__ = [
    "MANIFEST",
    "Manifest",
    "Packed",
    "Places",
    "Shard",
    "find_manifest",
    "open_remote",
    "open_shard",
    "open_shards",
]
