#!/bin/sh
# The first process of the machine that runs the tests: /tests is their program.
export PATH=/bin HOME=/tmp RUST_BACKTRACE=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /tmp
mount -t devpts -o ptmxmode=0666 pts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=1777 tmp /tmp
ip link set lo up
while read -r module; do insmod "/modules/$module" || echo "no module $module"; done < /modules/order
echo 0 > /proc/sys/kernel/printk
echo "FREEZEFRAME booted $(cat /proc/sys/kernel/osrelease)"
# In a new session: the first process of a machine is in none, which a save refuses.
setsid /tests --test-threads=1 $FREEZEFRAME_ONLY 2>&1
echo "FREEZEFRAME ended $?"
poweroff -f
