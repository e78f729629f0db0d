"""A private Slurm of one node with fake GPUs, started from Debian's packages (slurm-wlm, munge) under one
folder; no root.

It keeps accounts where slurmdbd and mariadb-server are installed too.
"""

import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
ACCOUNTANTS = ("mariadb-install-db", "mariadbd", "mariadb", "slurmdbd", "sacct")
SYSTEM = f"{os.environ['PATH']}:/usr/sbin:/sbin"
MISSING = [name for name in PROGRAMS if shutil.which(name, path=SYSTEM) is None]
KEEPS_ACCOUNTS = all(shutil.which(name, path=SYSTEM) for name in ACCOUNTANTS)
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
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
MinJobAge=86400
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=512
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,batch_sched_delay=0
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000000 Gres=gpu:fake:{gpus} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES State=UP
PartitionName=gpu Nodes={host} State=UP
"""
NO_ACCOUNTS = "AccountingStorageType=accounting_storage/none\n"
ACCOUNTS = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={accounts_port}
AccountingStoragePass={root}/munge/socket
AccountingStorageTRES=gres/gpu
"""
ACCOUNTANT = """\
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket
DbdHost=localhost
DbdPort={accounts_port}
SlurmUser={user}
PidFile={root}/slurmdbd.pid
LogFile={root}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={base_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""
BASE = """\
create database slurm_acct_db;
create user slurm@localhost identified by 'slurm'; create user slurm@'127.0.0.1' identified by 'slurm';
grant all on slurm_acct_db.* to slurm@localhost; grant all on slurm_acct_db.* to slurm@'127.0.0.1';
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Slurm:
    """The cluster; `environment` is what its users need."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("munge", "state", "spool", "bin"):
            (root / name).mkdir(parents=True)
        root.chmod(0o711)
        host, (port, next_port, accounts_port, base_port) = socket.gethostname().split(".")[0], free_ports(4)
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        facts = {
            "host": host,
            "user": user,
            "root": root,
            "port": port,
            "next_port": next_port,
            "cpus": os.cpu_count(),
            "gpus": len(FAKE_GPUS),
        }
        facts |= {"accounts_port": accounts_port, "base_port": base_port}
        (root / "slurm.conf").write_text(
            (CONFIGURATION + (ACCOUNTS if KEEPS_ACCOUNTS else NO_ACCOUNTS)).format(**facts)
        )
        (root / "slurmdbd.conf").write_text(ACCOUNTANT.format(**facts))
        (root / "slurmdbd.conf").chmod(0o600)
        (root / "gres.conf").write_text(
            "".join(f"NodeName={host} Name=gpu Type=fake File={device}\n" for device in FAKE_GPUS)
        )
        (root / "cgroup.conf").write_text("")
        # Snakemake's job steps drop SLURM_CONF from the environment; srun finds it again.
        srun = root / "bin/srun"
        srun.write_text(
            f'#!/bin/sh\nSLURM_CONF={root}/slurm.conf exec {shutil.which("srun", path=SYSTEM)} "$@"\n'
        )
        srun.chmod(0o755)
        self.environment = os.environ | {
            "SLURM_CONF": str(root / "slurm.conf"),
            "PATH": f"{root}/bin:{SYSTEM}",
        }
        self._start(user, base_port)

    def _start(self, user: str, base_port: int) -> None:
        key = self.root / "munge/key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        files = {
            "key-file": "key",
            "socket": "socket",
            "pid-file": "pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        self.command(
            "munged", "--force", *(f"--{option}={self.root}/munge/{name}" for option, name in files.items())
        )
        if KEEPS_ACCOUNTS:
            self._start_accounts(user, base_port)
        self.command("slurmctld", "-c")
        self.command("slurmd")
        self._wait_for("idle", "sinfo", "--noheader", "--format=%T")

    def _start_accounts(self, user: str, port: int) -> None:
        """The data base, in the background until `stop`, and the daemon that writes into it."""
        base, user = f"--datadir={self.root}/base", f"--user={user}"
        self.command(
            "mariadb-install-db", "--no-defaults", user, base, "--auth-root-authentication-method=normal"
        )
        door, small = f"--socket={self.root}/base.socket", "--innodb-buffer-pool-size=64M"
        server = [
            "mariadbd",
            "--no-defaults",
            user,
            base,
            door,
            f"--pid-file={self.root}/base.pid",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            small,
        ]
        with open(self.root / "base.log", "wb") as log:
            subprocess.Popen(server, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        client = ["mariadb", "--no-defaults", door, "--user=root", "--execute"]
        self._wait_for("1", *client, "select 1")
        self.command(*client, BASE)
        self.command("slurmdbd")
        self._wait_for("cpu", "sacctmgr", "--noheader", "show", "tres")

    def _wait_for(self, word: str, *command: str) -> None:
        """Until a program says so, half a minute at most."""
        for _ in range(60):
            if word in self.command(*command, check=False):
                return
            time.sleep(0.5)
        self.stop()
        raise RuntimeError(
            f"Slurm did not come up, {command[0]} does not say {word!r}; its logs are in {self.root}"
        )

    def accounts(self, *columns: str) -> list[dict[str, str]]:
        """All jobs, as `sacct` has them, without their steps."""
        lines = self.command(
            "sacct",
            "--starttime=now-1days",
            "--allocations",
            "--parsable2",
            "--noheader",
            f"--format={','.join(columns)}",
        ).splitlines()
        return [dict(zip(columns, line.split("|"), strict=True)) for line in lines]

    def command(self, *arguments: str, check: bool = True) -> str:
        """The standard output of one of Slurm's programs."""
        done = subprocess.run(
            arguments,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=check,
            timeout=60,
        )
        return done.stdout

    def jobs(self) -> list[dict[str, str]]:
        """All jobs of this cluster's life, as `scontrol show job` describes them."""
        lines = self.command("scontrol", "--oneliner", "--all", "show", "job").splitlines()
        return [
            dict(pair.split("=", 1) for pair in line.split() if "=" in pair)
            for line in lines
            if line.startswith("JobId=")
        ]

    def stop(self) -> None:
        """End jobs and daemons, each when those that talk to it have ended."""
        self.command("scancel", "--full", "--state=RUNNING", check=False)
        for name in ("slurmd.pid", "slurmctld.pid", "slurmdbd.pid", "base.pid", "munge/pid"):
            if (self.root / name).is_file():
                pid = int((self.root / name).read_text())
                with suppress(psutil.NoSuchProcess):
                    daemon = psutil.Process(pid)
                    daemon.terminate()
                    for _ in range(100):  # what nobody waits for stays a zombie
                        if daemon.status() == psutil.STATUS_ZOMBIE:
                            break
                        time.sleep(0.1)
