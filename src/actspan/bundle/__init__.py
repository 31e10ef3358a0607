"""A model on disk: a folder with its origin and checksums.

    bsn/
    ├── model.toml        format version, source, features, pipeline, training; files with checksums
    ├── tem.safetensors   weights; a bundle may hold one of the two networks
    ├── pem.safetensors
    ├── tem.onnx          written by `actspan export`
    ├── pem.onnx
    ├── tem.fp16.bs16.om ...      written by `actspan compile`; compiled.toml records their sources
    ├── classifier.safetensors    optional: labels of proposals
    └── classifier.onnx

A bundle is created atomically, files are replaced atomically, and every file is checked when read.
"""

from actspan.bundle.manifest import MANIFEST, FileRecord, Source, SourceFile
from actspan.bundle.model import Bundle
from actspan.bundle.networks import add_classifier, add_networks
from actspan.bundle.weights import NETS, Net, NetConfig, check_weights, members_of, weight_shapes

__all__ = [
    "MANIFEST",
    "NETS",
    "Bundle",
    "FileRecord",
    "Net",
    "NetConfig",
    "Source",
    "SourceFile",
    "add_classifier",
    "add_networks",
    "check_weights",
    "members_of",
    "weight_shapes",
]
