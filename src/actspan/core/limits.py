"""Bounds of files and settings. What exceeds them is refused, with its name, before it is read.

Files are not trusted. The memory of a reader is bounded by the size of the file and by these
numbers, which are far above what any dataset, model or log of the field needs.
"""

MIB, GIB = 2**20, 2**30

# Files that are read as a whole. A sparse file of a terabyte costs its sender nothing.
DOCUMENT = 2 * GIB  # annotations, tables, results; the result of 100,000 videos is 0.8 GB
SETTINGS = 16 * MIB  # TOML
LOG = 64 * MIB
PICKLE = 4 * MIB  # of a checkpoint, without its tensors; 300 names take 0.02
OPERATIONS = 100_000  # of a pickle that contains its arrays; a BMN takes 700
WEIGHTS = 2 * GIB  # BSN's are 5 MB; protobuf, and so ONNX, has the same limit

# Compressed data, and files with holes: a few bytes must not become gigabytes. Features of real
# videos shrink by less than 10; the zeros of a masked stream by more, hence a size that is always
# allowed. A process reads several such files at a time.
EXPANSION = 100  # times the stored bytes
EXPANDED = 64 * MIB

# Settings. Memory and time grow with them, the candidates of a video with the square of CELLS.
CELLS = 10_000  # of a video or window, T; published models have 100
CANDIDATES = 1_000_000  # of a video; the published ones keep 1000
SIZE = 1_000_000  # of a layer: channels, hidden units, BSP samples
DILATED = 12  # residual layers; the last one's dilation is 4096 cells
LAYERS = 8  # hidden layers of PEM

# Values in files, of which tools and formats make whole milliseconds, frames and pixels.
SECONDS = 1e9  # latest time, 31 years
NUMBER = 1e12  # largest duration in any unit, number of frames, frame rate

PIXELS = 2**26  # of a frame, which takes 3 bytes each, several at a time; 8K has 2**25

LINE = 4096  # characters of a line of a log that are searched; patterns may take their square
MESSAGE = 10_000  # characters of an error, which may quote what it found
PROBLEM = 500  # characters of one problem among many
