"""google.rpc status messages: of googleapis-common-protos where installed, else our own."""

try:
    from google.rpc import error_details_pb2, status_pb2
except ModuleNotFoundError:
    from kinprint.v1.google_rpc.bundled import error_details_pb2, status_pb2

__all__ = ["error_details_pb2", "status_pb2"]
