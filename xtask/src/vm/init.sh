#!/bin/busybox sh
# The first program of the virtual machine of `cargo xtask vm`. Lines that begin with "ipcscope-vm:" are read by outcome.rs.
export PATH=/bin HOME=/root TERM=dumb RUST_BACKTRACE=1
/bin/busybox --install -s /bin

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmp /dev/shm
mount -t mqueue mqueue /dev/mqueue
# No mount on /tmp: the programs may be below it, and all files are in memory anyway.
chmod 1777 /tmp
mount -t tracefs trace /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
ln -s /proc/self/fd /dev/fd

run_tests() {
    echo "$1:"
    cd "$2" || return
    # Words with blanks in them are nothing that tests are called.
    CARGO_MANIFEST_DIR=$2 "$3" --ignored --test-threads=1 --show-output $(cat /arguments) 2>&1
    status=$?
    # libtest ends with 101 when tests failed, and has counted them; anything else is not its doing.
    case $status in
    0 | 101) ;;
    *) echo "ipcscope-vm: crashed $1 with $status" ;;
    esac
    cd /
}

echo
echo "ipcscope-vm: kernel $(uname -r)"
. /programs
ipcscope doctor 2>&1
status=$?
echo "ipcscope-vm: doctor $status"
if test $status = 0; then
    . /tests
else
    # What somebody sees who does not ask doctor first.
    ipcscope trace -- true 2>&1
    echo "ipcscope-vm: trace $?"
fi
echo "ipcscope-vm: end 0"
sync
poweroff -f
