"""Between protobuf messages and dataclasses, and nothing else."""
