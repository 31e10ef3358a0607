"""Commands that reproduce the tables of README and docs: `python -m benchmarks.NAME --help`.

    stages       everything after TEM, in memory          backends     TEM on every backend
    propose      the `propose` command, start-up included scaling      cost by cells and by videos
    evaluate     AR@AN of a result file                   startup      help and first proposals
    memory       peak memory, by videos and by hours      ray          Ray workers, the local engine
    scale_model  a million videos on N machines           serve        the HTTP service
    extract      videos to features                       viewer       the viewer, and its pictures
    accuracy     AR@AN of presets and guesses             videos       AR@AN from video files
    detection    mAP with the small classifier            faults       faults put into runs
    path         functions that `propose` enters

Data are synthetic, made from a seed in a temporary folder, unless a dataset is given. The baseline
is the published steps (`published_steps`, `published_evaluation`), measured in the same run.
Contenders run in turn by `actspan.bench.timing.interleave`.
"""
