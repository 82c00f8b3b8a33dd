"""Generated messages and stubs of the kinprint.v1 contract (see proto/)."""
