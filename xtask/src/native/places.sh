# The places of the tests in the machine with Linux. Each is one that pmem has to tell from the others: ext4 on an NVDIMM,
# mapped directly (DAX); an NVDIMM as one device, without a file system; ext4 on an ordinary disk; and ext4 on a disk
# that can be made to fail: it is a sparse file in a file system which has less room than the disk seems to have, so
# that writes to it fail as soon as the file "filler" there has taken the rest. /tmp is memory.
# The function "namespace" is that of linux/namespace.sh.

# Makes the file $1, of size $2, a disk with ext4, mounted at $3.
disk() {
    truncate -s "$2" "$1"
    loop=$(losetup -f)
    losetup "$loop" "$1"
    mke2fs -b 4096 "$loop" >/dev/null
    mount -t ext4 "$loop" "$3"
}

mkdir -p /places/dax /places/ext4 /places/failing /places/room

namespace 0 pfn nd_pmem
mke2fs -b 4096 /dev/pmem0 >/dev/null
mount -t ext4 -o dax /dev/pmem0 /places/dax
namespace 1 dax dax_pmem

disk /tmp/ext4 128M /places/ext4
mount -t tmpfs -o size=64M none /places/room
disk /places/room/disk 192M /places/failing

export HOLDFAST_DAX=/places/dax
export HOLDFAST_DAX_DEVICE=/dev/dax1.0
export HOLDFAST_EXT4=/places/ext4
export HOLDFAST_FAILING=/places/failing
export HOLDFAST_FILLER=/places/room/filler
