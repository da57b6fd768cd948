# Debian packages of any release, resolved and fetched by this machine's apt in a root of its own: its lists, its empty
# idea of what is installed. Nothing is installed. Sourced by the scripts beside it, never run.
# shellcheck shell=bash

# The mirrors this machine is configured for, in either format of apt's sources; only those that carry Debian itself.
mirrors() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed -nE 's/^deb +(\[[^]]*\] +)?([^ ]+) .*/\2/p'
    sed -nE 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | tr ' ' '\n'
}

# $1: release, $2: directory to work in, the rest: packages. They and all they depend on are in $2/apt/archives then.
fetch_packages() {
    local suite=$1 work=$2 mirror
    shift 2
    mkdir -p "$work"/apt/{lists/partial,archives/partial,etc/preferences.d,etc/apt.conf.d}
    : >"$work/apt/status" # nothing is installed here: apt then names every library, and none comes from the machine
    for mirror in $(mirrors | grep -E '/debian/?$' | sort -u); do
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >>"$work/apt/sources.list"
    done
    [ -s "$work/apt/sources.list" ] || die "found no Debian mirror in this machine's apt sources"
    cat >"$work/apt/apt.conf" <<CONF
Dir::State "$work/apt";
Dir::State::status "$work/apt/status";
Dir::State::lists "$work/apt/lists";
Dir::Cache "$work/apt";
Dir::Etc::sourcelist "$work/apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferencesparts "$work/apt/etc/preferences.d";
Dir::Etc::preferences "-";
APT::Install-Recommends "false";
APT::Architecture "amd64";
APT::Sandbox::User "";
Debug::NoLocking "true";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Acquire::Retries "1";
CONF
    APT_CONFIG=$work/apt/apt.conf apt-get -q update >"$work/update.log" 2>&1 ||
        die "no package lists of $suite: $(grep -m1 '^[EW]:' "$work/update.log")"
    APT_CONFIG=$work/apt/apt.conf apt-get -q -y --download-only install "$@" >"$work/install.log" 2>&1 ||
        die "could not download $* from $suite: $(grep -m1 '^E:' "$work/install.log")"
}
