"""The published pipeline written the straightforward way: the baseline of every ratio.

It follows spec and paper step by step as the published Python code is built: pandas tables,
SciPy's `interp1d`, Python loops over candidates, one file a stage and video, one video a network
call. It is written to be plain: nothing in it is slowed down, and nothing is tuned.

`tests/test_benchmarks.py` checks it against outputs of the published code: the
same candidates in the same order, scores and overlaps within 1e-9, BSP features and PEM within
1e-6, the same final segments, and the same recall arrays.

    features/<video>.csv     f0, f1, ...; T rows           (given)
    tem/<video>.csv          action, start, end, xmin, xmax
    candidates/<video>.csv   xmin, xmax, xmin_score, xmax_score, score[, match_iou, match_ioa]
    bsp/<video>.npy          (N, 32)
    pem/<video>.csv          xmin, xmax, xmin_score, xmax_score, iou_score
    result.json              the proposals of all videos
"""
