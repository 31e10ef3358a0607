"""Commands that reproduce the tables of README and docs: `python -m benchmarks.NAME --help`.

    stages    everything after TEM, in memory       accuracy  AR@AN and mAP of trained models
    commands  propose, evaluate, start-up           backends  TEM on every backend
    memory    peak memory of commands               ray       Ray workers, the local engine
    scale     cost by cells, videos, machines       serve     the HTTP service
    extract   videos to features                    viewer    the viewer, and its pictures
    peers     beside the functions of others
    faults    faults put into runs                  path      functions that `propose` enters
    workspace the pictures and figures of the viewer
    after_bmn everything after BMN, in memory       serve_faults  the service under faults

Data are synthetic, made from a seed in a temporary folder, unless a dataset is given. The baseline
is the published steps (`published_steps`, `published_evaluation`), measured in the same run.
Contenders run in turn by `actspan.bench.timing.interleave`.
"""
