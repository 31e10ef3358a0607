"""Deployment from checkpoints to a device, with verification, in one command.

It replaces the guide's pth2om.sh and eval_acc_perf.sh. All computation is in other packages; this
one runs their steps in order.
"""

from actspan.deploying.deploy import Deployment, DeployRequest, Step, deploy
from actspan.deploying.evaluate import Evaluation, evaluate
from actspan.deploying.measure import measure

__all__ = [
    "DeployRequest",
    "Deployment",
    "Evaluation",
    "Step",
    "deploy",
    "evaluate",
    "measure",
]
