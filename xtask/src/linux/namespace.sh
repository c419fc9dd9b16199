# Makes region $1 of the NVDIMMs a $2 (pfn: a disk that can be mapped directly; dax: one device), whose driver is $3.
namespace() {
    devices=/sys/bus/nd/devices
    echo "namespace$1.0" >/sys/bus/nd/drivers/nd_pmem/unbind
    seed=$(cat "$devices/region$1/$2_seed")
    cat /proc/sys/kernel/random/uuid >"$devices/$seed/uuid"
    echo ram >"$devices/$seed/mode"
    echo "namespace$1.0" >"$devices/$seed/namespace"
    echo "$seed" >"/sys/bus/nd/drivers/$3/bind"
}
