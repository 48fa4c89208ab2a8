r"""A cluster of three hosts on this machine, and what it makes while hosts and links fail.

    sudo python -m benchmarks.cluster --esc50=esc50:DIR --debian=debian-sounds:DIR \
        --output_dir=results

Each host is a network namespace with an address of its own, joined to the others by a virtual
switch; all see one folder. A Dask scheduler and a worker run on the first, workers on the others.
Nothing outside these namespaces is touched; what an earlier, killed call left is taken down first
(--parts= with nothing does only that). Needs root and `iproute2`.

Below `hosts` (namespaces, links) and `dask_cluster` (scheduler, workers), a module for each part:

`work`: clips are prepared, embedded and indexed. `faults`: a worker killed, a link cut, the
scheduler killed, at random moments; what is there in the end is that of an undisturbed run.
`training`: two workers of `multi_worker`, one cut off; batches by a tf.data service.
`growth`: memory against rows of a manifest, clips per second, and what a real cluster would take.
"""
