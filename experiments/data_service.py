"""A tf.data service: processes that make batches for `train_embedding --data_service=grpc://…`.

On one machine, dispatcher and workers in one process:

    python -m experiments.data_service --port=5050 --workers=2

On several, the dispatcher on one and a worker on each of the others (all must see the sound or the
shards under the same paths):

    python -m experiments.data_service --port=5050 --workers=0
    python -m experiments.data_service --dispatcher=HOST:5050 --address=THIS_HOST --port=5051

Workers run no Python functions: train from prepared shards, or from sound files with
`--on_the_fly --decoder=in_graph`. Ends at Ctrl-C or SIGTERM. The connection is neither encrypted
nor authenticated: keep it inside a network you trust.
"""

import os
import signal
import sys

from absl import flags, logging

from audio_triplet.commands import terminal
from experiments.lib import script


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_integer("port", 5050, "Port of the dispatcher; with --dispatcher, the worker's.")
    flags.DEFINE_integer("workers", 1, "Workers in this process, beside a dispatcher.")
    flags.DEFINE_string("dispatcher", "", "HOST:PORT of a dispatcher elsewhere: be its worker.")
    flags.DEFINE_string("address", "localhost", "This machine's name for the others.")
    flags.DEFINE_string(
        "work_dir",
        "",
        "Folder of the dispatcher's journal (gs://… too): with it, a dispatcher "
        "that is started again continues.",
    )


class Service:
    """A dispatcher with workers, or one worker, in this process.

    Attributes:
      target: The dispatcher, grpc://HOST:PORT.
    """

    def __init__(
        self,
        port: int = 0,
        workers: int = 1,
        dispatcher: str = "",
        address: str = "localhost",
        work_dir: str = "",
    ):
        """Starts it; 0 is any free port. The arguments are the flags of the script."""
        import tensorflow as tf

        from audio_triplet.audio import graph_decoding

        graph_decoding.tensorflow_io_works()  # registers its ops, which batches from files need
        service = tf.data.experimental.service
        self._servers = []
        if dispatcher:
            self.target = f"grpc://{dispatcher}"
            ports = [port]
        else:
            config = service.DispatcherConfig(
                port=port, fault_tolerant_mode=bool(work_dir), work_dir=work_dir or None
            )
            self._servers.append(service.DispatchServer(config))
            self.target = self._servers[0].target
            ports = [0] * workers
        dispatcher_address = self.target.split("://")[1]
        for own_port in ports:
            config = service.WorkerConfig(
                dispatcher_address,
                worker_address=f"{address}:{own_port or '%port%'}",
                port=own_port,
            )
            self._servers.append(service.WorkerServer(config))


def main(argv):
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    with terminal.clear_errors("data_service"):
        values = flags.FLAGS
        # Waited for below, blocked in every thread that TensorFlow starts. A handler of Python's
        # runs when the main thread gets to it, which once was not within half a minute.
        stops = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, stops)
        service = Service(
            values.port, values.workers, values.dispatcher, values.address, values.work_dir
        )
        if values.dispatcher:
            print(f"worker of {service.target}", flush=True)
        else:
            print(f"{service.target} with {values.workers} workers", flush=True)
        # macOS has no wait with an end; there nothing is said meanwhile.
        wait = getattr(signal, "sigtimedwait", lambda signals, _: signal.sigwait(signals))
        while wait(stops, 3600) is None:
            logging.info("still serving %s", service.target)
        # The servers are not stopped first: TensorFlow would finish the batches under way, a minute
        # on a busy machine, deaf to a second signal. A dispatcher's journal is complete.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    script.start(define_flags, main)
