"""Between protobuf messages and the dataclasses of `kinprint.client.types`, a module for each group of calls.

Functions that make a request end in `_request`, those that read an answer in `_from_proto`. Nothing else knows the
fields of messages.
"""
