"""Jobs: long runs in processes of their own, so that queries never wait for one.

::

    registry   which jobs run, wait and ended; places, memory, cancellation     (serving process, event loop)
    runner     one worker process: start, hand over a run, receive what it yields, end it   (serving process, threads)
    pins       the state of a corpus as a worker opens it: the same files, mapped again
    pipe       messages between the two processes
    worker     the worker process

A run is a generator function of pinned views and parameters that yields `Progress` and results, such as
`kinprint.server.search.duplicates.find_duplicates`. It does not know where it runs. Rows cross as Arrow record batches
(`kinprint.server.batches`).
"""
