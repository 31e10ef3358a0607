"""The main job: a dataset and a bundle in, a run or a result file out.

request.py  what shall be done, and what was
inputs.py   from a dataset to jobs, checked
work.py     jobs of a plan's videos, and what becomes of one that cannot be read
origin.py   what an answer depends on: checksums, settings, versions
engine.py   who computes: threads here, or anything that fits `Engine`
output.py   results to files
job.py      all of it together
"""

from actspan.proposing.engine import Engine, EngineMaker, LocalEngine
from actspan.proposing.inputs import jobs_from_features
from actspan.proposing.job import propose_dataset
from actspan.proposing.request import Report, Request, Summary
from actspan.proposing.work import DatasetWork

__all__ = [
    "DatasetWork",
    "Engine",
    "EngineMaker",
    "LocalEngine",
    "Report",
    "Request",
    "Summary",
    "jobs_from_features",
    "propose_dataset",
]
