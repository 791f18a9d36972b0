# What was run when the uevents beside were recorded: GFS2 with DLM, mounted and left by one host, without dlm_controld.
set -x
mount | grep -q configfs || mount -t configfs configfs /sys/kernel/config
modprobe dlm; modprobe gfs2
stdbuf -oL udevadm monitor --kernel --property > /run/uevents.log 2>&1 &
sleep 1
exec 3<>/dev/misc/dlm-monitor 2>/dev/null
D=/sys/kernel/config/dlm/cluster; mkdir -p $D; echo -n lab > $D/cluster_name; echo 1 > $D/recover_callbacks
mkdir $D/comms/1; echo 1 > $D/comms/1/nodeid; echo 1 > $D/comms/1/local
perl -e 'use Socket; print substr(pack_sockaddr_in(0, inet_aton("10.20.0.1")) . "\0" x 128, 0, 128)' > $D/comms/1/addr
mkfs.gfs2 -O -q -p lock_dlm -t lab:fs0 -j 2 -J 8 /dev/drbd0
mkdir -p /mnt/fs0
mount -t gfs2 -o noatime /dev/drbd0 /mnt/fs0 &
for i in 1 2 3 4 5 6 7 8 9 10; do [ -e /sys/kernel/dlm/fs0 ] && break; sleep 0.5; done
ls -R /sys/kernel/dlm/fs0
mkdir $D/spaces/fs0; mkdir $D/spaces/fs0/nodes/1; echo 1 > $D/spaces/fs0/nodes/1/nodeid; echo 1 > $D/spaces/fs0/nodes/1/weight
echo 12345 > /sys/kernel/dlm/fs0/id
echo 1 > /sys/kernel/dlm/fs0/control
echo 0 > /sys/kernel/dlm/fs0/event_done
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do mountpoint -q /mnt/fs0 && break; sleep 0.5; done
mount | grep gfs2
ls /sys/fs/gfs2/lab:fs0/lock_module; for f in /sys/fs/gfs2/lab:fs0/lock_module/*; do echo "$f: $(cat $f 2>&1)"; done
umount /mnt/fs0 &
sleep 2
echo 0 > /sys/kernel/dlm/fs0/control
echo 0 > /sys/kernel/dlm/fs0/event_done
rmdir $D/spaces/fs0/nodes/1 $D/spaces/fs0
sleep 3; mount | grep gfs2; sleep 1; kill %1
