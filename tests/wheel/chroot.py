"""A Debian system in a folder, without network, where an ordinary user runs commands. Needs root and mmdebstrap."""
import os
import shutil
import subprocess

HOME = "home/user"
MOUNTS = ("mount -t proc proc $0/proc && mount -t tmpfs tmpfs $0/dev && for d in null zero urandom; do touch $0/dev/$d && "
          "mount --bind /dev/$d $0/dev/$d; done && ln -s /proc/self/fd $0/dev/fd && mkdir -m 1777 $0/dev/shm && "
          "exec chroot --userspec=1000:1000 $0 /bin/sh -ec \"$1\"")


def unpack(work, suite, packages, name):
    """Makes work/name, of Debian's smallest system and these packages, kept as a tar for the next time."""
    work.mkdir(parents=True, exist_ok=True)
    tar = work / f"{name}.tar"
    if not tar.exists():
        partial = tar.with_suffix(".partial.tar")
        subprocess.run(["mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, partial], check=True)
        partial.rename(tar)
    root = work / name
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    subprocess.run(["tar", "xf", tar, "-C", root, "--exclude=./dev/*"], check=True)
    (root / HOME).mkdir(parents=True)
    return root


def run(root, script, code=0):
    """Runs a shell script as user 1000. Returns what it prints."""
    words = ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-ec", MOUNTS, root,
             f"export HOME=/{HOME} PATH=/{HOME}/env/bin:/usr/bin:/bin LANG=C.UTF-8; cd /{HOME}; {script}"]
    done = subprocess.run(words, text=True, capture_output=True, env={"PATH": os.environ["PATH"]})
    if done.returncode != code:
        raise AssertionError(f"{script}\nexit {done.returncode}, expected {code}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr
