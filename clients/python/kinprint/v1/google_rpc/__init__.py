"""google.rpc status messages: those of googleapis-common-protos when installed, else our own copy."""

try:
    from google.rpc import error_details_pb2, status_pb2
except ModuleNotFoundError:
    from kinprint.v1.google_rpc.bundled import error_details_pb2, status_pb2

__all__ = ["error_details_pb2", "status_pb2"]
