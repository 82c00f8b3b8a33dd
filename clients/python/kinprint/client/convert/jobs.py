"""Messages of the service for jobs."""

from __future__ import annotations

from kinprint.client.convert.base import check_text, timestamp_from_proto
from kinprint.client.types import Job, JobState
from kinprint.v1 import job_pb2

_STATES: dict[int, JobState] = {
    job_pb2.JOB_STATE_QUEUED: "queued",
    job_pb2.JOB_STATE_RUNNING: "running",
    job_pb2.JOB_STATE_FINISHED: "finished",
    job_pb2.JOB_STATE_CANCELLED: "cancelled",
    job_pb2.JOB_STATE_FAILED: "failed",
}


def list_jobs_request(active_only: bool) -> job_pb2.ListJobsRequest:
    """A `ListJobsRequest`."""
    return job_pb2.ListJobsRequest(active_only=active_only)


def get_job_request(job_id: str) -> job_pb2.GetJobRequest:
    """A `GetJobRequest`."""
    return job_pb2.GetJobRequest(id=check_text(job_id, "id"))


def cancel_job_request(job_id: str) -> job_pb2.CancelJobRequest:
    """A `CancelJobRequest`."""
    return job_pb2.CancelJobRequest(id=check_text(job_id, "id"))


def job_from_proto(message: job_pb2.Job) -> Job:
    """A job; a state of a newer server reads as unknown."""
    return Job(
        id=message.id,
        kind=message.kind,
        corpora=tuple(message.corpora),
        state=_STATES.get(message.state, "unknown"),
        queue_place=message.queue_place,
        caller=message.caller,
        step=message.step,
        share=message.share,
        memory_bytes=message.memory_bytes,
        memory_limit_bytes=message.memory_limit_bytes,
        created_at=timestamp_from_proto(message, "created_at"),
        started_at=timestamp_from_proto(message, "started_at"),
        ended_at=timestamp_from_proto(message, "ended_at"),
        problem=message.problem,
        pid=message.pid,
    )
