#!/bin/busybox sh
# First and only program of the Linux guest: counts like counter.s, on its virtio disk and its serial port, until its power button is pressed.
/bin/busybox mkdir -p /proc /sys /dev /etc/acpi/PWRF
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/null >/dev/ttyS0 2>&1
for module in $(cat /modules/order); do insmod "/modules/$module" || echo "no module $module"; done
printf '#!/bin/sh\ntouch /pressed\n' >/etc/acpi/PWRF/00000080
chmod +x /etc/acpi/PWRF/00000080
acpid -l /dev/null

# Numbers as they lie on the disk, lowest byte first.
bytes() {
	printf '\\%03o\\%03o\\%03o\\%03o' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255))
}
look() {
	dd if=/dev/vda of=/found bs=512 count=1 iflag=direct 2>/dev/null
}
found() {
	hexdump -s 8 -n 8 -e '1/4 "%08x"' -e '1/4 " run=%08x"' /found
}
keep() {
	printf "QCOUNTER$(bytes $count)$(bytes $((0x$run)))" >/sector
	truncate -s 512 /sector
	dd if=/sector of=/dev/vda bs=512 count=1 oflag=direct conv=fsync,notrunc 2>/dev/null
}
say() {
	printf '%s=%08x run=%s\n' "$1" $count $run
}

run=$(hexdump -n 4 -e '1/4 "%08x"' /dev/urandom)
until look; do
	echo 'DISK ERROR'
	sleep 1
done
count=0
if [ "$(head -c 8 /found)" = QCOUNTER ]; then
	at=$(found)
	count=$((0x${at%% *}))
fi
cp /found /sector
say start
while [ ! -e /pressed ]; do
	sleep 0.5
	if ! look; then
		echo 'DISK ERROR'
		continue
	fi
	cmp -s /found /sector || echo "FOREIGN count=$(found)"
	count=$((count + 1))
	until keep; do
		echo 'DISK ERROR'
		sleep 1
	done
	say count
done
say end
poweroff -f
