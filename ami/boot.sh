#!/bin/sh
# The user data of stock images (Amazon Linux 2023, Ubuntu, Debian): cloud-init runs it as root at the first boot. It arms
# the machine's end, fetches the agent from the bucket with the instance's role, installs the units and starts them. Any
# failure is said on the console, and the machine powers off.
#
# It is filled in by dayfly_shared::boot: @LIFETIME@ seconds, @URL@ of the agent, its @SHA256@, @REGION@ of the bucket,
# @SETTINGS@ as one line of JSON, and, in the place of the line "#@FILES@", the units and scripts of this folder.
# The variables DAYFLY_… are for tests and image builds.
set -u
root=${DAYFLY_ROOT-}
imds=${DAYFLY_IMDS:-http://169.254.169.254}
tries=${DAYFLY_TRIES:-20}
console=${DAYFLY_CONSOLE:-/dev/console}

fail() {
  echo "dayfly: $*; powering off" | tee "$console" >&2
  systemctl poweroff || poweroff -f
  exit 1
}

# The end first: a machine that hangs after this line costs one lifetime and no more.
systemd-run --unit=dayfly-boot-lifetime --on-active=@LIFETIME@s systemctl poweroff || fail "the lifetime could not be armed"

metadata() { # PATH
  curl -sf --max-time 5 -H "x-aws-ec2-metadata-token: $token" "$imds/latest/meta-data/$1"
}

field() { # NAME, of the credentials' JSON on standard input
  tr -d '\r\n' | sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"
}

# One try to fetch the agent to "$program". Keys go through standard input, not the command line.
fetch() {
  token=$(curl -sf --max-time 5 -X PUT -H 'x-aws-ec2-metadata-token-ttl-seconds: 300' "$imds/latest/api/token") ||
    { why="the metadata service does not answer"; return 1; }
  role=$(metadata iam/security-credentials/) || { why="the instance has no role (instance profile)"; return 1; }
  keys=$(metadata "iam/security-credentials/$role") || { why="the role $role has no credentials yet"; return 1; }
  status=$(curl -s --max-time 120 -o "$program" -w '%{http_code}' --aws-sigv4 'aws:amz:@REGION@:s3' -K - '@URL@' <<END
user = "$(echo "$keys" | field AccessKeyId):$(echo "$keys" | field SecretAccessKey)"
header = "x-amz-security-token: $(echo "$keys" | field Token)"
header = "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
END
  ) || { why="@URL@ does not answer"; return 1; }
  [ "$status" = 200 ] || { why="@URL@ answers $status (does role $role reach it?)"; return 1; }
}

mkdir -p "$root/usr/local/bin" "$root/usr/local/lib/dayfly" "$root/etc/dayfly" "$root/etc/systemd/system" "$root/usr/lib/sysusers.d" ||
  fail "folders could not be made"
program=$root/usr/local/bin/dayfly-agent
why=
until fetch; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || fail "the agent could not be fetched: $why"
  echo "dayfly: $why; trying again" >"$console"
  sleep 5
done
echo "@SHA256@  $program" | sha256sum -c --quiet - >&2 ||
  fail "@URL@ is not the agent that was meant (its SHA-256 differs); put it there again with dayfly setup --agent"
chmod 755 "$program" || fail "the agent could not be installed"

put() { # PATH MODE, the content on standard input
  { cat >"$root$1" && chmod "$2" "$root$1"; } || fail "$1 could not be written"
}

put /etc/dayfly/settings.json 644 <<'DAYFLY-END'
@SETTINGS@
DAYFLY-END
put /etc/dayfly/agent.env 644 <<'DAYFLY-END'
DAYFLY_SETTINGS=/etc/dayfly/settings.json
DAYFLY-END
#@FILES@

systemd-sysusers || fail "the user dayfly could not be made"
systemctl daemon-reload || fail "the units could not be loaded"
systemctl enable --now dayfly-lifetime.timer dayfly-poweroff.path || fail "the lifetime could not be armed"
systemctl enable dayfly-lifetime.service dayfly-scratch.service dayfly-agent.service || fail "the units could not be enabled"
# Not waited for: the agent's unit waits for the network, and cloud-init is still at it.
systemctl start --no-block dayfly-agent.service || fail "the agent could not be started"
