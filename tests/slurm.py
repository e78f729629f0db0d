"""A private Slurm of one node with fake GPUs, started from Debian's packages (slurm-wlm, munge) under one folder; no root, no accounting."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
SYSTEM = f"{os.environ['PATH']}:/usr/sbin:/sbin"
MISSING = [name for name in PROGRAMS if shutil.which(name, path=SYSTEM) is None]
FAKE_GPUS = ("/dev/null", "/dev/zero")  # devices that every machine has
CONFIGURATION = """\
ClusterName=toy
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket
CredType=cred/munge
SlurmctldPort={port}
SlurmdPort={next_port}
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
MinJobAge=86400
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,batch_sched_delay=0
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000000 Gres=gpu:fake:{gpus} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES State=UP
PartitionName=gpu Nodes={host} State=UP
"""


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens at."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


class Slurm:
    """The cluster; `environment` is what its users need."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("munge", "state", "spool", "bin"):
            (root / name).mkdir(parents=True)
        root.chmod(0o711)
        host, (port, next_port) = socket.gethostname().split(".")[0], free_ports()
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        facts = {"host": host, "user": user, "root": root, "port": port, "next_port": next_port, "cpus": os.cpu_count(), "gpus": len(FAKE_GPUS)}
        (root / "slurm.conf").write_text(CONFIGURATION.format(**facts))
        (root / "gres.conf").write_text("".join(f"NodeName={host} Name=gpu Type=fake File={device}\n" for device in FAKE_GPUS))
        (root / "cgroup.conf").write_text("")
        # Snakemake's job steps drop SLURM_CONF from the environment; srun finds it again.
        srun = root / "bin/srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={root}/slurm.conf exec {shutil.which("srun", path=SYSTEM)} "$@"\n')
        srun.chmod(0o755)
        self.environment = os.environ | {"SLURM_CONF": str(root / "slurm.conf"), "PATH": f"{root}/bin:{SYSTEM}"}
        self._start()

    def _start(self) -> None:
        key = self.root / "munge/key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self.command("munged", "--force", *(f"--{option}={self.root}/munge/{name}" for option, name in files.items()))
        self.command("slurmctld", "-c")
        self.command("slurmd")
        for _ in range(60):
            if "idle" in self.command("sinfo", "--noheader", "--format=%T", check=False):
                return
            time.sleep(0.5)
        self.stop()
        raise RuntimeError(f"Slurm did not come up: {(self.root / 'slurmctld.log').read_text()[-2000:]}")

    def command(self, *arguments: str, check: bool = True) -> str:
        """The standard output of one of Slurm's programs."""
        done = subprocess.run(arguments, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=check, timeout=60)
        return done.stdout

    def jobs(self) -> list[dict[str, str]]:
        """All jobs of this cluster's life, as `scontrol show job` describes them."""
        lines = self.command("scontrol", "--oneliner", "--all", "show", "job").splitlines()
        return [dict(pair.split("=", 1) for pair in line.split() if "=" in pair) for line in lines if line.startswith("JobId=")]

    def stop(self) -> None:
        """End jobs and daemons."""
        self.command("scancel", "--full", "--state=RUNNING", check=False)
        for name in ("slurmd.pid", "slurmctld.pid", "munge/pid"):
            pid = self.root / name
            if pid.is_file():
                subprocess.run(["kill", pid.read_text().strip()], check=False, capture_output=True)
