#!/bin/sh
# Puts the agent into a machine that is to become an image: program, units, scripts, user; enabled, but not started. Then
# cleans, so that no two instances of the image share what should be theirs alone. Run as root, by Packer, EC2 Image
# Builder, or in a chroot.
#   /tmp/dayfly holds dayfly-agent, lib/ and units/ (or DAYFLY_FILES does). DAYFLY_VERSION is the version that the agent
#   has to say; DAYFLY_KEEP_SSH=true leaves the SSH server enabled.
set -eu
files=${DAYFLY_FILES:-/tmp/dayfly}

fail() {
  echo "error: $*" >&2
  exit 1
}

[ "$(id -u)" = 0 ] || fail "provisioning takes root: run it with sudo"
for there in dayfly-agent lib/lifetime units/dayfly-agent.service; do
  [ -e "$files/$there" ] || fail "$files/$there is not there; nothing was installed"
done
# The units' OnSuccess= is of 249, and what the scripts run is in Amazon Linux 2023 and Ubuntu 24.04.
systemd=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
[ "${systemd:-0}" -ge 249 ] || fail "systemd is ${systemd:-not there}, and 249 is needed: Amazon Linux 2023, Ubuntu 24.04, Debian 12"
for tool in bash curl mkfs.ext4 blkid mountpoint; do
  PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || fail "$tool is needed and not there: install it first"
done
chmod 755 "$files/dayfly-agent"
said=$("$files/dayfly-agent" --version) || fail "$files/dayfly-agent does not run here: is it for this architecture, and static (scripts/build-agent)?"
if [ -n "${DAYFLY_VERSION-}" ] && [ "${said##* }" != "$DAYFLY_VERSION" ]; then
  fail "the agent says '$said', and the image is to be tagged $DAYFLY_VERSION: pass -var agent_version=${said##* }"
fi

install -D -m 755 -t /usr/local/bin "$files/dayfly-agent"
install -D -m 755 -t /usr/local/lib/dayfly "$files"/lib/*
install -D -m 644 -t /etc/systemd/system "$files"/units/*.service "$files"/units/*.timer "$files"/units/*.path
install -D -m 644 -t /usr/lib/sysusers.d "$files/units/dayfly.conf"
systemd-sysusers
# Where SELinux enforces, files that came by way of /tmp keep its label.
if command -v restorecon >/dev/null; then
  restorecon -R /usr/local/bin /usr/local/lib/dayfly /etc/systemd/system /usr/lib/sysusers.d
fi
# Not started: the machine that makes the image has no job, and the agent would power it off.
systemctl --quiet enable dayfly-lifetime.timer dayfly-lifetime.service dayfly-scratch.service dayfly-poweroff.path dayfly-agent.service

# What works beside the agent, or waits for a person: updates come with the next image.
for unit in apt-daily.timer apt-daily-upgrade.timer unattended-upgrades.service dnf-makecache.timer man-db.timer; do
  systemctl --quiet disable "$unit" 2>/dev/null || true
done
if [ "${DAYFLY_KEEP_SSH-}" != true ]; then
  for unit in ssh.service ssh.socket sshd.service sshd.socket; do
    systemctl --quiet disable "$unit" 2>/dev/null || true
  done
fi

# Whose the machine was: its keys, its names, its logs, and this installation's own files.
if command -v cloud-init >/dev/null; then cloud-init clean --logs; fi
rm -f /etc/ssh/ssh_host_* /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id /var/lib/systemd/random-seed /root/.*_history /home/*/.*_history
if command -v apt-get >/dev/null; then apt-get clean; rm -rf /var/lib/apt/lists/*; fi
if command -v dnf >/dev/null; then dnf --quiet clean all; fi
rm -rf /var/log/journal/* "$files"
find /var/log -type f -exec truncate -s 0 {} +
echo "dayfly: $said is installed"
