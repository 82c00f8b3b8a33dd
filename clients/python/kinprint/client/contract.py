"""The calls of the contract: what each is called, its messages, and whether it may be sent again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message
from kinprint.v1 import (
    corpus_pb2,
    info_pb2,
    job_pb2,
    lineage_pb2,
    match_pb2,
    semantic_pb2,
    snapshot_pb2,
    transcript_pb2,
)

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

SERVICES = {
    "info": "InfoService",
    "corpora": "CorpusService",
    "transcripts": "TranscriptService",
    "match": "MatchService",
    "lineage": "LineageService",
    "jobs": "JobService",
    "semantic": "SemanticService",
    "snapshots": "SnapshotService",
}
"""Services of `kinprint.v1` by the attribute of `kinprint.client.transport.Stubs`."""


@dataclass(frozen=True)
class Method(Generic[Request, Response]):
    """One call: the service by its short name, the types of its messages, or of those that it streams.

    `repeatable` calls change nothing, so that they are sent again when the server went away.
    """

    service: str
    name: str
    request: type[Request]
    response: type[Response]
    repeatable: bool = False


GET_SERVER_INFO = Method(
    "info", "GetServerInfo", info_pb2.GetServerInfoRequest, info_pb2.GetServerInfoResponse, repeatable=True
)

CREATE_CORPUS = Method("corpora", "CreateCorpus", corpus_pb2.CreateCorpusRequest, corpus_pb2.CreateCorpusResponse)
GET_CORPUS = Method("corpora", "GetCorpus", corpus_pb2.GetCorpusRequest, corpus_pb2.GetCorpusResponse, repeatable=True)
LIST_CORPORA = Method(
    "corpora", "ListCorpora", corpus_pb2.ListCorporaRequest, corpus_pb2.ListCorporaResponse, repeatable=True
)
DELETE_CORPUS = Method("corpora", "DeleteCorpus", corpus_pb2.DeleteCorpusRequest, corpus_pb2.DeleteCorpusResponse)

UPSERT = Method(
    "transcripts",
    "UpsertTranscripts",
    transcript_pb2.UpsertTranscriptsRequest,
    transcript_pb2.UpsertTranscriptsResponse,
)
GET_TRANSCRIPT = Method(
    "transcripts",
    "GetTranscript",
    transcript_pb2.GetTranscriptRequest,
    transcript_pb2.GetTranscriptResponse,
    repeatable=True,
)
LIST_TRANSCRIPTS = Method(
    "transcripts",
    "ListTranscripts",
    transcript_pb2.ListTranscriptsRequest,
    transcript_pb2.ListTranscriptsResponse,
    repeatable=True,
)
DELETE_TRANSCRIPTS = Method(
    "transcripts",
    "DeleteTranscripts",
    transcript_pb2.DeleteTranscriptsRequest,
    transcript_pb2.DeleteTranscriptsResponse,
)
PURGE = Method(
    "transcripts",
    "PurgeTranscripts",
    transcript_pb2.PurgeTranscriptsRequest,
    transcript_pb2.PurgeTranscriptsResponse,
)

FINGERPRINT = Method(
    "match", "Fingerprint", match_pb2.FingerprintRequest, match_pb2.FingerprintResponse, repeatable=True
)
SEARCH = Method("match", "Search", match_pb2.SearchRequest, match_pb2.SearchResponse, repeatable=True)
STREAM_SEARCH = Method("match", "StreamSearch", match_pb2.StreamSearchRequest, match_pb2.StreamSearchResponse)
COMPARE = Method("match", "Compare", match_pb2.CompareRequest, match_pb2.CompareResponse, repeatable=True)
FIND_DUPLICATES = Method("match", "FindDuplicates", match_pb2.FindDuplicatesRequest, match_pb2.FindDuplicatesResponse)
FIND_OVERLAPS = Method("match", "FindOverlaps", match_pb2.FindOverlapsRequest, match_pb2.FindOverlapsResponse)

FIT_PANEL = Method("lineage", "FitPanel", lineage_pb2.FitPanelRequest, lineage_pb2.FitPanelResponse)
INSPECT_PANEL = Method(
    "lineage", "InspectPanel", lineage_pb2.InspectPanelRequest, lineage_pb2.InspectPanelResponse, repeatable=True
)
FIND_KINSHIP = Method("lineage", "FindKinship", lineage_pb2.FindKinshipRequest, lineage_pb2.FindKinshipResponse)
ATTRIBUTE = Method("lineage", "Attribute", lineage_pb2.AttributeRequest, lineage_pb2.AttributeResponse)
BUILD_EVIDENCE = Method("lineage", "BuildEvidence", lineage_pb2.BuildEvidenceRequest, lineage_pb2.BuildEvidenceResponse)
FIND_LINEAGE = Method("lineage", "FindLineage", lineage_pb2.FindLineageRequest, lineage_pb2.FindLineageResponse)

LIST_JOBS = Method("jobs", "ListJobs", job_pb2.ListJobsRequest, job_pb2.ListJobsResponse, repeatable=True)
GET_JOB = Method("jobs", "GetJob", job_pb2.GetJobRequest, job_pb2.GetJobResponse, repeatable=True)
CANCEL_JOB = Method("jobs", "CancelJob", job_pb2.CancelJobRequest, job_pb2.CancelJobResponse)

START_FILL = Method("semantic", "StartFill", semantic_pb2.StartFillRequest, semantic_pb2.StartFillResponse)
PAUSE_FILL = Method("semantic", "PauseFill", semantic_pb2.PauseFillRequest, semantic_pb2.PauseFillResponse)
GET_FILL = Method("semantic", "GetFill", semantic_pb2.GetFillRequest, semantic_pb2.GetFillResponse, repeatable=True)
COMPARE_MODELS = Method(
    "semantic",
    "CompareModels",
    semantic_pb2.CompareModelsRequest,
    semantic_pb2.CompareModelsResponse,
    repeatable=True,
)
SWITCH_MODEL = Method("semantic", "SwitchModel", semantic_pb2.SwitchModelRequest, semantic_pb2.SwitchModelResponse)
DROP_MODEL = Method("semantic", "DropModel", semantic_pb2.DropModelRequest, semantic_pb2.DropModelResponse)
DISTIL = Method("semantic", "Distil", semantic_pb2.DistilRequest, semantic_pb2.DistilResponse)

CREATE_SNAPSHOT = Method(
    "snapshots", "CreateSnapshot", snapshot_pb2.CreateSnapshotRequest, snapshot_pb2.CreateSnapshotResponse
)
LIST_SNAPSHOTS = Method(
    "snapshots",
    "ListSnapshots",
    snapshot_pb2.ListSnapshotsRequest,
    snapshot_pb2.ListSnapshotsResponse,
    repeatable=True,
)
DELETE_SNAPSHOT = Method(
    "snapshots", "DeleteSnapshot", snapshot_pb2.DeleteSnapshotRequest, snapshot_pb2.DeleteSnapshotResponse
)
VERIFY_SNAPSHOT = Method(
    "snapshots", "VerifySnapshot", snapshot_pb2.VerifySnapshotRequest, snapshot_pb2.VerifySnapshotResponse
)
RESTORE_SNAPSHOT = Method(
    "snapshots", "RestoreSnapshot", snapshot_pb2.RestoreSnapshotRequest, snapshot_pb2.RestoreSnapshotResponse
)

METHODS: tuple[Method[Message, Message], ...] = tuple(
    value for value in tuple(globals().values()) if isinstance(value, Method)
)
"""All of them."""
