#!/bin/sh
# The catalogue of hostile programs on control groups of version 2, on a machine that has version 1: boots a
# kernel that is an ordinary program (Debian: apt-get install user-mode-linux), as root. By hand; one minute.
#
#   sh tests/programs/on_version_2.sh
#
# It runs as root and as an ordinary user whose group was delegated; each prints its profile and what is wrong.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)

if [ $$ -ne 1 ]; then
    exec linux.uml mem=2500M quiet rootfstype=hostfs rootflags=/ rw con=null con0=fd:0,fd:1 init=/bin/sh \
        -- "$here/tests/programs/on_version_2.sh" 2>/dev/null </dev/null
fi

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH=/mnt/src:/mnt TMPDIR=/mnt/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 none /mnt
mount -t cgroup2 none /sys/fs/cgroup
ip link set lo up
cp -r "$here/src" "$here/tests" /mnt
mkdir -m 1777 /mnt/tmp
mkdir /mnt/home /sys/fs/cgroup/service /sys/fs/cgroup/user
chown -R 60001:60001 /mnt/home /sys/fs/cgroup/user
echo "+memory +pids +cpu" >/sys/fs/cgroup/cgroup.subtree_control
cd /mnt
look() {
    python3 -c '
import json, sys
found = json.load(sys.stdin)
print(sys.argv[1], found["profile"], len(found["cases"]), "programs", found["left"], found["harm"])
for name, wrong in found["cases"].items():
    if wrong:
        print(name, wrong)
' "$1"
}
(
    sh -c 'echo $PPID' >/sys/fs/cgroup/service/cgroup.procs
    /usr/bin/python3 -B -m tests.programs.play --root /mnt/jobs
) | look root
(
    sh -c 'echo $PPID' >/sys/fs/cgroup/user/cgroup.procs
    setpriv --reuid=60001 --regid=60001 --clear-groups /usr/bin/python3 -B -m tests.programs.play --root /mnt/home/jobs
) | look ordinary
halt -f
