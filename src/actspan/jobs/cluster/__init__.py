"""The pipeline on a Ray cluster, with Ray Data. Ray is imported only when it is used.

settings.py  number of workers and the resources that each needs
session.py   the connection to a cluster that is started here or joined, and its checks
jobs.py      numbered pieces of work on a pool of workers, with retries for lost workers
engine.py    `propose`: workers compute and commit the shards of a run
extract.py   `extract`: each worker decodes whole videos
stage.py     the pipeline as a stage of a user's own Ray Data job
"""
