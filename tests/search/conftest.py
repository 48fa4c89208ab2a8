"""Addresses of object stores, and machines with copies of their own."""

import secrets

import pytest


@pytest.fixture(scope="module")
def s3():
    """The address of a bucket of a server that speaks S3's protocol."""
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    running = server.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "something")
        fs.S3FileSystem.clear_instance_cache()  # of another server
        fs.S3FileSystem().makedirs("sounds", exist_ok=True)  # all servers of a process share it
        yield "s3://sounds"
    running.stop()


@pytest.fixture(params=["disk", "memory", "s3"])
def place(request, tmp_path):
    """An address at which there is nothing yet."""
    root = {
        "disk": lambda: f"file://{tmp_path}/store",
        "memory": lambda: "memory://",
        "s3": lambda: request.getfixturevalue("s3"),
    }[request.param]()
    return f"{root}/{secrets.token_hex(4)}/birds.index".replace(":////", "://")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Makes this process one of another machine, which has copies of its own."""

    def become(name):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))

    become("one")
    return become
