"""The staged path: every step from features to proposals reads and writes files.

docs/deploy/staged.md describes it.

A host may have only a vendor's tool that runs a compiled network over raw files. ActSpan then does
the steps before, between and after the networks. BSN has two:

    stage/
    ├── stage.toml         the model, the dataset, the settings
    ├── tem/               input/ xmin/ xmax/, by `write_video_inputs`
    ├── tem-output/        <input>_1.bin, by the device
    ├── tem-result/        <input>.csv, by `write_tem_results`
    ├── pem/               input/ proposals/ bsp/ xmin/ xmax/ xmin_score/ xmax_score/,
    │                      by `write_pem_inputs`
    ├── pem-output/        <input>_1.bin, by the device
    ├── pem-result/        <input>.csv, by `write_results`
    └── result.json

BMN has one, with three outputs:

    stage/
    ├── stage.toml
    ├── bmn/               input/, by `write_video_inputs`
    ├── bmn-output/        <input>_1.bin, _2.bin, _3.bin, by the device
    ├── bmn-result/        <input>.csv, by `write_results`
    └── result.json

An input is a video, or a window of a long recording. Each folder that ActSpan writes appears when
it is complete, with `inputs.jsonl`, which lists its content and what it was made from.
"""
