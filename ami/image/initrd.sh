#!/bin/sh
# The initial file system of Xen machines: their disk driver is a module. Loads it and goes on as the kernel would have.
mount -t devtmpfs dev /dev
mount -t proc proc /proc
for module in /modules/*.ko; do insmod "$module"; done
root='' options=''
for word in $(cat /proc/cmdline); do
  case $word in
    root=*) root=${word#root=} ;;
    rootflags=*) options=,${word#rootflags=} ;;
  esac
done
tries=600
until mount -o "rw$options" "$root" /root 2>/dev/null; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || { echo "dayfly: there is no disk with $root; powering off"; echo o >/proc/sysrq-trigger; sleep 60; }
  sleep 0.1
done
echo "dayfly: root found from the initial file system"
umount /proc
exec switch_root /root /sbin/init
