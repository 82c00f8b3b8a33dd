# Generated from kinprint/client/aio/jobs.py by tools/generate_sync.py: change that, then run 'make sync'.
"""Calls on jobs: the long runs of a server, of this client and of others."""

from __future__ import annotations

from kinprint.client import contract
from kinprint.client.convert import jobs as convert
from kinprint.client.sync.calls import Calls
from kinprint.client.types import Job


class JobCalls(Calls):
    """Calls on jobs."""

    def jobs(self, active_only: bool = False, *, timeout: float | None = None) -> list[Job]:
        """The jobs that run or wait, oldest first, then those that ended lately, newest first.

        Args:
            active_only: leave out those that have ended.
            timeout: seconds.
        """
        response = self._unary(contract.LIST_JOBS, convert.list_jobs_request(active_only), timeout)
        return [convert.job_from_proto(job) for job in response.jobs]

    def get_job(self, id: str, *, timeout: float | None = None) -> Job:
        """Describe one job.

        Raises:
            NotFoundError: there is none of that id (reason JOB_NOT_FOUND), also when it ended some time ago.
        """
        response = self._unary(contract.GET_JOB, convert.get_job_request(id), timeout)
        return convert.job_from_proto(response.job)

    def cancel_job(self, id: str, *, timeout: float | None = None) -> Job:
        """End a job; the call that it works for fails with `AbortedError` (reason JOB_CANCELLED).

        Of a job that has ended nothing changes.

        Returns:
            The job as it is now.

        Raises:
            NotFoundError: there is none of that id (reason JOB_NOT_FOUND), also when it ended some time ago.
        """
        response = self._unary(contract.CANCEL_JOB, convert.cancel_job_request(id), timeout)
        return convert.job_from_proto(response.job)
