"""Real servers for the tests: nginx, moto, s3s-fs and Garage, each on a free port of the loopback address.

Refuses to outlive a test, and to listen anywhere else.
"""

import os
import pathlib
import shutil
import socket
import subprocess
import threading

import boto3
import botocore.config
from moto.server import ThreadedMotoServer

from hold import environment, until

ACCESS_KEY, SECRET_KEY, REGION = "AKIAEXTERNALTESTS", "not-a-secret-of-anybody", "us-east-1"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_answering(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A server in a process of its own, with its output in a log."""

    def __init__(self, words, port, log_path):
        self.port = port
        self._log = open(log_path, "wb")
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env=environment()
        )
        try:
            until(lambda: self._process.poll() is not None or is_answering(port), f"{words[0]} answers")
            assert self._process.poll() is None, f"{words[0]} ended: {pathlib.Path(log_path).read_text()}"
        except BaseException:
            self.close()
            raise

    def close(self):
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


class Nginx(Process):
    """Serves a directory twice: below `/json/` and `/html/`, by the form of its listings."""

    def __init__(self, files, home):
        home.mkdir(parents=True)
        port = free_port()
        self.access_log = home / "access.log"
        # pytest's directories are for their owner only, and workers of root are somebody else.
        user = "user root;" if os.geteuid() == 0 else ""
        temporary = "".join(
            f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = home / "nginx.conf"
        config.write_text(
            f"""{user} daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log info;
            events {{ worker_connections 512; }}
            http {{
                {temporary}
                log_format counted '$uri $status $body_bytes_sent $http_range';
                access_log {self.access_log} counted;
                server {{
                    listen 127.0.0.1:{port};
                    location /json/ {{ alias {files}/; autoindex on; autoindex_format json; }}
                    location /html/ {{ alias {files}/; autoindex on; }}
                }}
            }}"""
        )
        path = os.environ.get("PATH", "") + ":/usr/sbin"
        program = shutil.which("nginx", path=path)
        assert program, "nginx is not installed"
        super().__init__([program, "-p", str(home), "-e", f"{home}/error.log", "-c", str(config)], port, home / "log")

    def url(self, listing):
        return f"http://127.0.0.1:{self.port}/{listing}/"


class S3Server:
    """What the tests need of any S3 server."""

    endpoint = None
    access_key, secret_key = ACCESS_KEY, SECRET_KEY

    def variables(self):
        """What tells the program where the server is."""
        return {
            "AWS_ENDPOINT": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
        }

    def upload(self, bucket, files):
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=botocore.config.Config(s3={"addressing_style": "path"}, proxies={}),
        )
        client.create_bucket(Bucket=bucket)
        for path in sorted(path for path in files.rglob("*") if path.is_file()):
            client.put_object(Bucket=bucket, Key=str(path.relative_to(files)), Body=path.read_bytes())


class Moto(S3Server):
    """moto, in a thread of the tests. Its servers share their objects, and answer one request at a time.

    Left to itself, moto looks whether an object is there and then keeps it: of two who write it at once, both are told at
    times that they were the first.
    """

    _turn = threading.Lock()

    def __init__(self):
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        served = self._server._server
        answer = served.app

        def answer_alone(environ, start_response):
            with Moto._turn:
                return answer(environ, start_response)

        served.app = answer_alone
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"

    def close(self):
        self._server.stop()


class S3sFs(S3Server):
    """s3s-fs, which keeps objects as files and checks signatures."""

    def __init__(self, home):
        program = shutil.which("s3s-fs")
        assert program, "s3s-fs is not installed"
        root = home / "objects"
        root.mkdir(parents=True)
        port = free_port()
        words = [program, "--host", "127.0.0.1", "--port", str(port)]
        words += ["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY, str(root)]
        self._process = Process(words, port, home / "log")
        self.endpoint = f"http://127.0.0.1:{port}"

    def close(self):
        self._process.close()


class Garage(S3Server):
    """Garage, a cluster of one node."""

    # It takes keys of its own form only.
    access_key, secret_key = "GK" + "01" * 12, "02" * 32

    def __init__(self, home):
        self._program = shutil.which("garage")
        assert self._program, "garage is not installed"
        home.mkdir(parents=True)
        rpc, api = free_port(), free_port()
        self._config = home / "garage.toml"
        self._config.write_text(
            f"""metadata_dir = "{home}/meta"
            data_dir = "{home}/data"
            db_engine = "sqlite"
            replication_factor = 1
            rpc_bind_addr = "127.0.0.1:{rpc}"
            rpc_public_addr = "127.0.0.1:{rpc}"
            rpc_secret = "{"03" * 32}"
            [s3_api]
            s3_region = "{REGION}"
            api_bind_addr = "127.0.0.1:{api}"
            root_domain = ".s3.garage"
            """
        )
        self._process = Process([self._program, "-c", str(self._config), "server"], api, home / "log")
        try:
            node = self._run("node", "id", "-q").split("@")[0]
            self._run("layout", "assign", "-z", "here", "-c", "1G", node)
            self._run("layout", "apply", "--version", "1")
            self._run("key", "import", "--yes", "-n", "tests", self.access_key, self.secret_key)
            self._run("key", "allow", "--create-bucket", self.access_key)
        except BaseException:
            self.close()
            raise
        self.endpoint = f"http://127.0.0.1:{api}"

    def _run(self, *words):
        words = [self._program, "-c", str(self._config), *words]
        run = subprocess.run(words, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert run.returncode == 0, f"{words}: {run.stderr}"
        return run.stdout

    def close(self):
        self._process.close()
