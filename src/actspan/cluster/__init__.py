"""The pipeline on a Ray cluster, by Ray Data; Ray itself is imported when it is used.

settings.py  how many workers, and what each of them needs
session.py   a cluster to work on: started here or joined, and checked
jobs.py      numbers through a pool of workers, again where some were lost
engine.py    `propose`: shards of a run, computed and committed by workers
extract.py   `extract`: videos, each decoded by a worker
stage.py     the pipeline as a stage of somebody's own Ray Data job
"""

from actspan.cluster.engine import ray_engine
from actspan.cluster.session import ray_session
from actspan.cluster.settings import ClusterConfig
from actspan.cluster.stage import ProposeStage

__all__ = ["ClusterConfig", "ProposeStage", "ray_engine", "ray_session"]
