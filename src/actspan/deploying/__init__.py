"""From checkpoints to a device in one go, with proof: the guide's pth2om.sh and eval_acc_perf.sh.

Nothing is computed here that another room does not compute; this one puts them in a row.
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
