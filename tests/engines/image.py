"""Builds the agent's container image by its recipe and runs it with podman as the Kubernetes recipe says: read-only, without
capabilities, not root, its scratch folder from outside; over TLS, with the certificates that the image has. Root, in a network
namespace of its own; CONTAINERS_CONF and CONTAINERS_STORAGE_CONF say which podman (scripts/install-podman).
    image.py AGENT DAYFLY"""

import contextlib
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

import recipes
from run import JOB, World, ended, until

IMAGE = "localhost/dayfly-agent:test"


def podman(*words, **more):
    ran = subprocess.run(["podman", "--log-level", "error", *words], capture_output=True, text=True, **more)
    assert ran.returncode == 0, f"podman {words}: {ran.stdout}{ran.stderr}"
    return ran.stdout.strip()


def certificates(folder):
    """An authority, and a certificate of its for localhost."""
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    authority = ["-keyout", folder / "ca.key", "-out", folder / "ca.pem"]
    server = ["-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-addext", "subjectAltName=DNS:localhost",
              "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    for subject, words in (("/CN=ca", authority), ("/CN=localhost", server)):
        subprocess.run(["openssl", "req", "-x509", *new, "-subj", subject, *words], check=True, capture_output=True)


def terminate_tls(folder, upstream):
    """TLS in front of the endpoint; the URL."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def serve(client):
        with contextlib.suppress(OSError):
            client = context.wrap_socket(client, server_side=True)
            server = socket.create_connection(upstream)
            threading.Thread(target=pump, args=(server, client), daemon=True).start()
            pump(client, server)

    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return f"https://localhost:{listener.getsockname()[1]}"


def container(recipe, world, url, scratch, image=IMAGE):
    """The command line of one agent, from the pod's own words."""
    pod, inner = recipe.pod, recipe.container
    security, inside = pod["securityContext"], inner["securityContext"]
    assert security["runAsNonRoot"] and inside["readOnlyRootFilesystem"] and not inside["allowPrivilegeEscalation"]
    scratch.mkdir()
    # An emptyDir: its group is fsGroup's.
    os.chown(scratch, 0, security["fsGroup"])
    scratch.chmod(0o2775)
    access, secret = world.keys
    _, environment = recipe.command(0, 1)
    environment = {name: value for name, value in environment.items() if name not in ("PATH", "TMPDIR", "HOSTNAME")}
    environment = {name: value for name, value in environment.items() if "TOKEN" not in name and "ROLE" not in name}
    environment |= {"AWS_ENDPOINT_URL_S3": url, "AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}
    [mount] = inner["volumeMounts"]
    memory = inner["resources"]["limits"]["memory"].replace("Mi", "m")
    return ["podman", "--log-level", "error", "run", "--rm", "--name", f"agent-{scratch.name}", "--network", "host", "--read-only",
            "--read-only-tmpfs=false", "--cap-drop", inside["capabilities"]["drop"][0].lower(), "--security-opt",
            "no-new-privileges", "--user", f"{security['runAsUser']}:{security['runAsGroup']}", "--memory", memory,
            "--volume", f"{scratch}:{mount['mountPath']}",
            *[word for name, value in environment.items() for word in ("--env", f"{name}={value}")], image, *inner["args"]]


def main(agent, dayfly):
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dayfly-image-", ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        world = World(dayfly, folder)
        stack.callback(world.server.wait)
        stack.callback(world.server.kill)
        certificates(folder)
        host, port = world.url.removeprefix("http://").split(":")
        url = terminate_tls(folder, (host, int(port)))
        build = [recipes.RECIPES / "image/build", agent]
        environment = os.environ | {"CERTIFICATES": str(folder / "ca.pem")}
        subprocess.run([*build, IMAGE], env=environment, check=True, capture_output=True)
        size = int(podman("image", "inspect", "--format", "{{.Size}}", IMAGE))
        assert podman("image", "inspect", "--format", "{{.User}}", IMAGE) == "65532:65532"

        class Nobody:
            keys, role, web_token, pod_token = world.keys, None, "", ""

        recipe = recipes.Kubernetes(agent, Nobody(), folder)
        world.run("seed", JOB, "--demo")
        ran = subprocess.run(container(recipe, world, url, folder / "one"), capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        world.run("watch", JOB)
        kernel = world.job.joinpath("kernel.dat").read_bytes()
        for n in range(10):
            data = world.job.joinpath(f"in{n}.dat").read_bytes()
            tiled = (kernel * (len(data) // len(kernel) + 1))[: len(data)]
            wanted = (int.from_bytes(data, "big") ^ int.from_bytes(tiled, "big")).to_bytes(len(data), "big")
            assert world.job.joinpath(f"out{n}.dat").read_bytes() == wanted, f"out{n}.dat is wrong"
        print(f"ok      an image of {size / 1e6:.1f} MB, of the agent alone, did a job of ten files over TLS")

        # podman's SIGTERM, as an engine's: the agent gives back and says so.
        with world.job.joinpath("tasklist.txt").open("a") as more:
            more.write("in99.dat\n")
        world.run("pause", JOB)
        waiting = subprocess.Popen(container(recipe, world, url, folder / "two"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("the agent waits", lambda: any(a["live"] for a in world.agents().values()))
        podman("stop", "--time", str(recipe.grace), "agent-two")
        code = ended(waiting)
        assert code == 4, f"an agent that was told to stop ended with {code}"
        print("ok      stopped as an engine does it, it ended with 4")

        with_programs(recipe, world, url, folder, build, environment)


def with_programs(recipe, world, url, folder, build, environment):
    """On a base that has programs, tasks are programs."""
    root = folder / "base"
    root.joinpath("bin").mkdir(parents=True)
    root.joinpath("bin/busybox").write_bytes(pathlib.Path("/bin/busybox").read_bytes())
    root.joinpath("bin/busybox").chmod(0o755)
    for name in ("sh", "tr"):
        root.joinpath("bin", name).symlink_to("busybox")
    archive = folder / "base.tar"
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
    podman("import", "--quiet", str(archive), "localhost/base:1")
    image = "localhost/dayfly-agent:programs"
    subprocess.run([*build, image, "--build-arg", "BASE=localhost/base:1"], env=environment, check=True, capture_output=True)
    world.job.rename(world.job.with_name("an-earlier-job"))
    inputs = folder / "inputs"
    inputs.mkdir()
    inputs.joinpath("word").write_text("loud\n")
    world.run("seed", JOB, "--inputs", str(inputs), "--shell", "tr a-z A-Z < {input}")
    words = container(recipe, world, url, folder / "three", image)
    ran = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert world.job.joinpath("out/word").read_text() == "LOUD\n"
    print("ok      on a base image with programs, it ran one")


if __name__ == "__main__":
    main(*sys.argv[1:])
