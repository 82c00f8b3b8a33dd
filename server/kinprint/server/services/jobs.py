"""JobService."""

from __future__ import annotations

from typing import Any

import grpc
from kinprint.server.edge.principal import Principal, Role, current
from kinprint.server.failures import InvalidField
from kinprint.server.jobs.registry import Job
from kinprint.server.services.messages.jobs import job_message
from kinprint.server.state import State
from kinprint.v1 import job_pb2, job_pb2_grpc


def _identifier(request: job_pb2.GetJobRequest | job_pb2.CancelJobRequest) -> str:
    if not request.id:
        raise InvalidField("id", "id names no job", "FIELD_MISSING")
    return request.id


def _may_see(principal: Principal, job: Job) -> bool:
    """Whether a job is the principal's own, or one over its corpora that it administers."""
    if not all(map(principal.may_see, job.corpora)):
        return False
    return job.owner == principal.name or principal.role is Role.ADMIN


class JobService(job_pb2_grpc.JobServiceServicer):
    """Shows and ends the long runs."""

    def __init__(self, state: State) -> None:
        self._jobs = state.jobs

    def _check_seen(self, identifier: str) -> None:
        """Raise JobNotFound for a job that is not there, or not the caller's to see."""
        if not _may_see(current(), self._jobs.get(identifier)):
            raise self._jobs.missing(identifier)

    async def ListJobs(  # noqa: N802
        self, request: job_pb2.ListJobsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> job_pb2.ListJobsResponse:
        principal = current()
        jobs = [job for job in self._jobs.list(active_only=request.active_only) if _may_see(principal, job)]
        return job_pb2.ListJobsResponse(jobs=[job_message(job) for job in jobs])

    async def GetJob(  # noqa: N802
        self, request: job_pb2.GetJobRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> job_pb2.GetJobResponse:
        identifier = _identifier(request)
        self._check_seen(identifier)
        return job_pb2.GetJobResponse(job=job_message(self._jobs.get(identifier)))

    async def CancelJob(  # noqa: N802
        self, request: job_pb2.CancelJobRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> job_pb2.CancelJobResponse:
        identifier = _identifier(request)
        self._check_seen(identifier)
        return job_pb2.CancelJobResponse(job=job_message(self._jobs.cancel(identifier)))
