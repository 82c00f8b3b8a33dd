"""The role that each RPC needs. A test holds this table against the contract."""

from __future__ import annotations

from kinprint.server.edge.principal import Role

_SERVICES = {
    "CorpusService": {
        "CreateCorpus": Role.WRITE,
        "GetCorpus": Role.READ,
        "ListCorpora": Role.READ,
        "DeleteCorpus": Role.ADMIN,
    },
    "InfoService": {
        "GetServerInfo": Role.READ,
    },
    "JobService": {
        # Of jobs, everybody sees and ends their own; those of others are for administrators (see `services/jobs.py`).
        "ListJobs": Role.READ,
        "GetJob": Role.READ,
        "CancelJob": Role.READ,
    },
    "LineageService": {
        "FitPanel": Role.READ,
        "InspectPanel": Role.READ,
        "FindKinship": Role.READ,
        "Attribute": Role.READ,
        "BuildEvidence": Role.READ,
        "FindLineage": Role.READ,
    },
    "MatchService": {
        "Fingerprint": Role.READ,
        "Search": Role.READ,
        "StreamSearch": Role.READ,
        "Compare": Role.READ,
        "FindDuplicates": Role.READ,
        "FindOverlaps": Role.READ,
    },
    "SemanticService": {
        # With a model directory it looks at the server's disk, and needs more (see `services/semantic.py`).
        "StartFill": Role.WRITE,
        "PauseFill": Role.WRITE,
        "GetFill": Role.READ,
        "Distil": Role.WRITE,
        "CompareModels": Role.READ,
        "SwitchModel": Role.ADMIN,
        "DropModel": Role.ADMIN,
    },
    "SnapshotService": {
        # They hold corpora whole: for administrators who are bound to none (see `services/snapshots.py`).
        "CreateSnapshot": Role.ADMIN,
        "ListSnapshots": Role.ADMIN,
        "DeleteSnapshot": Role.ADMIN,
        "VerifySnapshot": Role.ADMIN,
        "RestoreSnapshot": Role.ADMIN,
    },
    "TranscriptService": {
        "UpsertTranscripts": Role.WRITE,
        "GetTranscript": Role.READ,
        "ListTranscripts": Role.READ,
        "DeleteTranscripts": Role.WRITE,
        "PurgeTranscripts": Role.ADMIN,
    },
}

#: Role by the path that gRPC calls the method by.
ROLES = {
    f"/kinprint.v1.{service}/{method}": role
    for service, methods in _SERVICES.items()
    for method, role in methods.items()
}
