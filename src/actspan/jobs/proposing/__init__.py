"""The main job: from a dataset and a bundle to a run or a result file.

request.py  settings and summary of the job
inputs.py   checks of a dataset, and its jobs
work.py     jobs of a plan's videos, and handling of videos that cannot be read
origin.py   everything that an answer depends on: checksums, settings, versions
engine.py   computation of shards: local threads, or another `Engine`
output.py   writing of results
job.py      the whole job
"""
