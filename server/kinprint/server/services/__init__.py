"""gRPC services: protobuf to pipeline types and back, nothing else."""
