#!/usr/bin/env python3
"""Run a compiled network over a list of raw inputs, and write one dump per input and output.

`actspan staged script` wrote this file. It needs Python 3.7 or newer, numpy, and the module of
one interface, but not ActSpan.

    python3 run_staged.py --interface ais_bench --model tem.bs16.om --list tem.info --out tem-output
    python3 run_staged.py --interface acl --model pem.bs1.om --list pem.info --out pem-output
    python3 run_staged.py --interface onnxruntime --model bmn.onnx --list bmn.info --out bmn-output

The list has one line per input: index, path, height, width. An input is height x width float32
values without a header. The dump of a/b.bin is OUT/b_1.bin, float32; further outputs of the network
are b_2.bin, b_3.bin, in its order. OUT/inputs.csv has the CRC-32 of the input of each dump, so that
`actspan staged tem-outputs`, `pem-outputs` and `bmn-outputs` find stale ones.

The interfaces ais_bench and acl are written from the vendor's documentation, and are unverified.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

RECORD = "inputs.csv"
MOST_NAMED = 20  # largest number of problems in a message


class Input(NamedTuple):
    """A line of the list."""

    path: str
    height: int
    width: int

    @property
    def name(self) -> str:
        """Name of its dump, without suffix."""
        return os.path.splitext(os.path.basename(self.path))[0]

    @property
    def values(self) -> int:
        """Number of its float32 values."""
        return self.height * self.width


class AisBench:
    """The vendor's `ais_bench.infer.interface.InferSession`, over an `.om` file."""

    def __init__(self, model: str, device: int) -> None:
        from ais_bench.infer.interface import InferSession

        self._session = InferSession(device, model)
        self.shape = tuple(self._session.get_inputs()[0].shape)

    def run(self, block: Any) -> Sequence[Any]:
        """Run the network on a block of inputs; return its outputs."""
        return list(self._session.infer([block], mode="static"))

    def close(self) -> None:
        """Free the device."""
        self._session.free_resource()


class Acl:
    """The vendor's pyACL, over an `.om` file with one input."""

    HUGE_FIRST = 0  # policy of acl.rt.malloc
    TO_DEVICE, TO_HOST = 1, 2  # kinds of acl.rt.memcpy

    def __init__(self, model: str, device: int) -> None:
        import acl

        self._acl, self._device = acl, device
        self._check(acl.init(), "acl.init")
        self._check(acl.rt.set_device(device), "acl.rt.set_device")
        self._context = self._value(acl.rt.create_context(device), "acl.rt.create_context")
        self._model = self._value(acl.mdl.load_from_file(model), "acl.mdl.load_from_file")
        self._desc = desc = acl.mdl.create_desc()
        self._check(acl.mdl.get_desc(desc, self._model), "acl.mdl.get_desc")
        if acl.mdl.get_num_inputs(desc) != 1:
            raise RuntimeError("the network has several inputs; one is needed")
        dims = self._value(acl.mdl.get_input_dims(desc, 0), "acl.mdl.get_input_dims")
        self.shape = tuple(dims["dims"])
        self._given = self._type(acl.mdl.get_input_data_type(desc, 0))
        outputs = range(acl.mdl.get_num_outputs(desc))
        self._answered = [self._type(acl.mdl.get_output_data_type(desc, i)) for i in outputs]
        self._input = self._dataset([acl.mdl.get_input_size_by_index(desc, 0)])
        self._output = self._dataset([acl.mdl.get_output_size_by_index(desc, i) for i in outputs])

    def _check(self, code: int, what: str) -> None:
        if code != 0:
            raise RuntimeError(f"{what} failed with code {code}")

    def _value(self, answer: tuple[Any, int], what: str) -> Any:
        self._check(answer[1], what)
        return answer[0]

    def _type(self, code: int) -> Any:
        types = {0: np.dtype(np.float32), 1: np.dtype(np.float16)}
        if code not in types:
            raise RuntimeError(f"the network takes or gives type {code}; float32 (0) is needed")
        return types[code]

    def _dataset(self, sizes: Sequence[int]) -> tuple[Any, list[tuple[Any, int, int]]]:
        """Make a dataset of buffers on the device; return it, and their addresses and bytes."""
        acl = self._acl
        dataset, buffers = acl.mdl.create_dataset(), []
        for size in sizes:
            address = self._value(acl.rt.malloc(size, self.HUGE_FIRST), "acl.rt.malloc")
            buffer = acl.create_data_buffer(address, size)
            self._value(acl.mdl.add_dataset_buffer(dataset, buffer), "acl.mdl.add_dataset_buffer")
            buffers.append((buffer, address, size))
        return dataset, buffers

    def run(self, block: Any) -> Sequence[Any]:
        """Run the network on a block of inputs; return its outputs."""
        acl = self._acl
        data = np.ascontiguousarray(block, dtype=self._given)
        source, [(_, address, size)] = self._input
        code = acl.rt.memcpy(address, size, data.ctypes.data, data.nbytes, self.TO_DEVICE)
        self._check(code, "acl.rt.memcpy to the device")
        target, buffers = self._output
        self._check(acl.mdl.execute(self._model, source, target), "acl.mdl.execute")
        answers = []
        for kind, (_, address, size) in zip(self._answered, buffers):  # noqa: B905  3.7
            answer = np.empty(size // kind.itemsize, dtype=kind)
            code = acl.rt.memcpy(answer.ctypes.data, size, address, size, self.TO_HOST)
            self._check(code, "acl.rt.memcpy to the host")
            answers.append(answer)
        return answers

    def close(self) -> None:
        """Free the device."""
        acl = self._acl
        for dataset, buffers in (self._input, self._output):
            acl.mdl.destroy_dataset(dataset)
            for buffer, address, _ in buffers:
                acl.destroy_data_buffer(buffer)
                acl.rt.free(address)
        acl.mdl.unload(self._model)
        acl.mdl.destroy_desc(self._desc)
        acl.rt.destroy_context(self._context)
        acl.rt.reset_device(self._device)
        acl.finalize()


class OnnxRuntime:
    """ONNX Runtime on one core, to try this script without an NPU."""

    def __init__(self, model: str, device: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        cpu = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(model, options, providers=cpu)
        (node,) = self._session.get_inputs()
        self._name, self.shape = node.name, tuple(node.shape)

    def run(self, block: Any) -> Sequence[Any]:
        """Run the network on a block of inputs; return its outputs."""
        return list(self._session.run(None, {self._name: block}))

    def close(self) -> None:
        """Do nothing, since there is nothing to free."""


INTERFACES: dict[str, Any] = {"ais_bench": AisBench, "acl": Acl, "onnxruntime": OnnxRuntime}


def read_list(path: str) -> list[Input]:
    """Read the inputs of a list; raise ValueError if it is malformed or inputs differ in size."""
    inputs = []
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            words = line.split()
            if len(words) != 4 or not (words[2].isdigit() and words[3].isdigit()):
                raise ValueError(f"{path}, line {number}: index path height width is needed")
            inputs.append(Input(words[1], int(words[2]), int(words[3])))
    if len({entry.name for entry in inputs}) != len(inputs):
        raise ValueError(f"{path}: two inputs have the same name")
    if len({entry[1:] for entry in inputs}) != 1:
        raise ValueError(f"{path}: names no inputs, or inputs of several sizes")
    return inputs


def find_problems(inputs: Sequence[Input]) -> list[str]:
    """Return the problems of the files of the list."""
    problems = []
    for entry in inputs:
        size = os.path.getsize(entry.path) if os.path.isfile(entry.path) else -1
        if size != 4 * entry.values:
            what = "missing" if size < 0 else f"{size} bytes, {4 * entry.values} expected"
            problems.append(f"{entry.path}: {what}")
    return problems


def block_shape(shape: Sequence[Any], entry: Input, batch: int | None) -> tuple[int, ...]:
    """Return the shape of a call: the network's, with free sizes from the list and `batch`.

    Raise ValueError if the network does not take a batch of these inputs.
    """
    if len(shape) == 2:  # the rows of all inputs along one axis: PEM as ActSpan exports it
        wanted = [(batch or 1) * entry.height, entry.width]
    else:
        wanted = [batch or 1, entry.height, entry.width]
    text = " x ".join(str(size) for size in shape)
    fixed = [isinstance(size, int) and size > 0 for size in shape]
    filled = tuple(int(s) if f else w for s, f, w in zip(shape, fixed, wanted))  # noqa: B905  3.7
    whole = len(shape) == len(wanted) and filled[-1] == entry.width
    if whole:
        whole = filled[0] % entry.height == 0 if len(shape) == 2 else filled[1] == entry.height
    if not whole:
        raise ValueError(f"the network expects {text}, not {entry.height} x {entry.width} inputs")
    if batch and filled[0] != wanted[0]:
        raise ValueError(f"the network expects {text}: leave out --batch {batch}")
    return filled


def run(net: Any, inputs: Sequence[Input], out: str, batch: int | None) -> None:
    """Run all inputs in batches, the last padded with zeros; write dumps, print figures."""
    shape = block_shape(net.shape, inputs[0], batch)
    values = inputs[0].values
    size = int(np.prod(shape)) // values
    calls, begin = [], time.perf_counter()
    with open(os.path.join(out, RECORD), "w", encoding="utf-8") as record:
        record.write("input,crc32\n")
        for first in range(0, len(inputs), size):
            part = inputs[first : first + size]
            block = np.zeros((size, values), dtype=np.float32)
            for i, entry in enumerate(part):
                with open(entry.path, "rb") as stream:
                    data = stream.read()
                block[i] = np.frombuffer(data, dtype=np.float32)
                record.write(f"{entry.name},{zlib.crc32(data)}\n")
            called = time.perf_counter()
            answers = net.run(block.reshape(shape))
            calls.append(time.perf_counter() - called)
            for number, answer in enumerate(answers, start=1):
                rows = np.asarray(answer, dtype=np.float32).reshape(size, -1)
                for i, entry in enumerate(part):
                    with open(os.path.join(out, f"{entry.name}_{number}.bin"), "wb") as stream:
                        stream.write(rows[i].tobytes())
    print_figures(len(inputs), size, calls, time.perf_counter() - begin)


def print_figures(inputs: int, size: int, calls: Sequence[float], seconds: float) -> None:
    """Print a short performance summary."""
    mean, median, slowest = (1000 * float(f(calls)) for f in (np.mean, np.median, np.max))
    count = len(calls)
    print(f"inputs       {inputs} in {count} calls of {size} ({count * size - inputs} padded)")
    print(f"end to end   {seconds:.2f} s, {inputs / seconds:.1f} inputs/s")
    print(f"calls alone  {sum(calls):.2f} s, {inputs / sum(calls):.1f} inputs/s")
    print(f"per call     mean {mean:.3f} ms, median {median:.3f} ms, slowest {slowest:.3f} ms")


def find_mistakes(options: argparse.Namespace) -> str:
    """Return what is wrong with the given files, before anything is opened or written."""
    if options.batch is not None and options.batch < 1:
        return f"--batch {options.batch}: at least 1 input per call is needed"
    try:
        problems = find_problems(read_list(options.list))
    except OSError as error:
        return f"{options.list}: the list cannot be read: {error.strerror}"
    except ValueError as error:
        return str(error)
    if problems:
        more = [f"... and {len(problems) - MOST_NAMED} more"] if problems[MOST_NAMED:] else []
        return "\n".join([f"inputs of {options.list}:", *problems[:MOST_NAMED], *more])
    if not os.path.isfile(options.model):
        return f"{options.model}: no such file"
    if os.path.exists(options.out) and (not os.path.isdir(options.out) or os.listdir(options.out)):
        return f"{options.out}: is not empty, and dumps must not mix: give another folder"
    return ""


def main(words: Sequence[str] | None = None) -> None:
    """Run as a command; any error ends it with one message and exit code 1."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--interface", choices=sorted(INTERFACES), default="ais_bench")
    parser.add_argument("--model", required=True, help="the compiled network")
    parser.add_argument("--list", required=True, help="the .info list of inputs")
    parser.add_argument("--out", required=True, help="folder for the dumps, new or empty")
    parser.add_argument("--device", type=int, default=0, help="number of the device [0]")
    parser.add_argument("--batch", type=int, help="inputs per call, if the network leaves it open")
    options = parser.parse_args(words)
    mistakes = find_mistakes(options)
    if mistakes:
        sys.exit(f"error: {mistakes}")
    try:
        net = INTERFACES[options.interface](options.model, options.device)
        try:
            os.makedirs(options.out, exist_ok=True)
            run(net, read_list(options.list), options.out, options.batch)
        finally:
            net.close()
    except Exception as error:  # noqa: BLE001  vendors' exceptions have no common base
        sys.exit(f"error: {options.interface}: {options.model}: {error}")


if __name__ == "__main__":
    main()
