"""Labels for proposals, from labels of whole videos or from the features inside each proposal."""

from actspan.labelling.choice import LabelChoice, write_labelled
from actspan.labelling.classifier import ClassifiedLabels, ProposalClassifier
from actspan.labelling.fusion import Labeller, label_all
from actspan.labelling.pooling import pool_features
from actspan.labelling.scores import LabelFile

__all__ = [
    "ClassifiedLabels",
    "LabelChoice",
    "LabelFile",
    "Labeller",
    "ProposalClassifier",
    "label_all",
    "pool_features",
    "write_labelled",
]
