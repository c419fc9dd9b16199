# The machine with Redis: ext4 on its NVDIMM, mapped directly, the network card's address, and then the server. It tells of
# itself what the figures depend on. $address and $server are set before, and namespace is linux/namespace.sh's.

namespace 0 pfn nd_pmem || exit 1
/sbin/mke2fs -q -t ext4 -b 4096 /dev/pmem0 || exit 1
mkdir -p /data
mount -t ext4 -o dax=always /dev/pmem0 /data || exit 1
ip address add "$address" dev eth0 || exit 1
ip link set eth0 up || exit 1

echo "bench: Linux: $(uname -r), Debian's, $(cat /proc/cmdline)"
echo "bench: Linux's file system: $(grep ' /data ' /proc/mounts)"
echo "bench: Linux's clock: $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
eval "exec /usr/bin/$server"
