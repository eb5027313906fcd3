"""What a model takes of a device, on paper: `grulet inspect --target`.

`cores` are the targets, `compiling` and `emulation` measure with a cross compiler and an emulator where they are,
`terms` and tables.json (`python -m benchmarks.targets`) estimate where they are not, `report` puts all together.
"""

from pathlib import Path

#: What was measured with the tools, for machines without them.
TABLES = Path(__file__).parent / "tables.json"
