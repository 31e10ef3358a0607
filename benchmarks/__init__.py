"""What the README's speed figures come from: each command prints ratios against a baseline.

    python -m benchmarks.stages      everything after TEM, in memory
    python -m benchmarks.propose     the `propose` command from .npy features, start-up included
    python -m benchmarks.pack        the same from a packed store, beside TEM's arithmetic alone
    python -m benchmarks.evaluate    AR@AN of a result file
    python -m benchmarks.ray         Ray workers beside the local engine: overhead, scaling, memory
    python -m benchmarks.scale_model what a million videos cost on N machines, by measured figures
    python -m benchmarks.serve       the HTTP service beside the same in memory; bad requests
    python -m benchmarks.memory      anonymous memory of `propose` as the number of videos grows

All data are made up from a seed in a temporary folder. The baseline is
`benchmarks.straightforward`, measured in the same run.
"""
