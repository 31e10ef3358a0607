"""A model on disk: a folder with its origin and checksums.

    bsn/
    ├── model.toml        format version, source, features, pipeline, training; files with checksums
    ├── tem.safetensors   weights; a bundle may have one of the two networks
    ├── pem.safetensors
    ├── tem.onnx          written by `actspan export`
    ├── pem.onnx
    ├── tem.fp16.bs16.om ...      written by `actspan compile`; compiled.toml records their sources
    ├── classifier.safetensors    optional: labels of proposals
    └── classifier.onnx

A bundle is created atomically, files are replaced atomically, and every file is checked when read.
"""
