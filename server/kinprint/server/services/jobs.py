"""JobService."""

from __future__ import annotations

from typing import Any

import grpc
from kinprint.server.failures import InvalidField
from kinprint.server.services.messages.jobs import job_message
from kinprint.server.state import State
from kinprint.v1 import job_pb2, job_pb2_grpc


def _identifier(request: job_pb2.GetJobRequest | job_pb2.CancelJobRequest) -> str:
    if not request.id:
        raise InvalidField("id", "id names no job", "FIELD_MISSING")
    return request.id


class JobService(job_pb2_grpc.JobServiceServicer):
    """Shows and ends the long runs."""

    def __init__(self, state: State) -> None:
        self._jobs = state.jobs

    async def ListJobs(  # noqa: N802
        self, request: job_pb2.ListJobsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> job_pb2.ListJobsResponse:
        jobs = self._jobs.list(active_only=request.active_only)
        return job_pb2.ListJobsResponse(jobs=[job_message(job) for job in jobs])

    async def GetJob(  # noqa: N802
        self, request: job_pb2.GetJobRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> job_pb2.GetJobResponse:
        return job_pb2.GetJobResponse(job=job_message(self._jobs.get(_identifier(request))))

    async def CancelJob(  # noqa: N802
        self, request: job_pb2.CancelJobRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> job_pb2.CancelJobResponse:
        return job_pb2.CancelJobResponse(job=job_message(self._jobs.cancel(_identifier(request))))
