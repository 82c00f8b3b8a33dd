"""Messages of JobService."""

from __future__ import annotations

from kinprint.server.jobs.registry import Job, JobState
from kinprint.server.services.messages.types import timestamp
from kinprint.v1 import job_pb2

_STATES = {
    JobState.QUEUED: job_pb2.JOB_STATE_QUEUED,
    JobState.RUNNING: job_pb2.JOB_STATE_RUNNING,
    JobState.FINISHED: job_pb2.JOB_STATE_FINISHED,
    JobState.CANCELLED: job_pb2.JOB_STATE_CANCELLED,
    JobState.FAILED: job_pb2.JOB_STATE_FAILED,
}


def job_message(job: Job) -> job_pb2.Job:
    """A job."""
    return job_pb2.Job(
        id=job.id,
        kind=job.kind,
        corpora=job.corpora,
        state=_STATES[job.state],
        queue_place=job.queue_place,
        caller=job.caller,
        step=job.step,
        share=job.share,
        memory_bytes=job.memory,
        memory_limit_bytes=job.memory_limit,
        created_at=timestamp(job.created_at),
        started_at=timestamp(job.started_at),
        ended_at=timestamp(job.ended_at),
        problem=job.problem,
        pid=job.pid,
    )
