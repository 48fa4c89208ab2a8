"""Which workers of a Dask scheduler have jobs: a line of addresses for each line that it reads.

python -m benchmarks.cluster.at_work tcp://HOST:PORT      runs on a host
"""

import sys

import distributed

if __name__ == "__main__":
    with distributed.Client(sys.argv[1]) as client:
        for _ in sys.stdin:
            print(*[worker for worker, jobs in client.processing().items() if jobs], flush=True)
