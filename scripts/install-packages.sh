#!/bin/sh
# Installs the system packages that building and testing need, if any is missing: says which, and uses sudo only where
# it is not run as root. Debian and Ubuntu; elsewhere it lists what to install by hand.
set -eu
needed="gcc cmake ninja-build pkg-config llvm-19-dev flex bison libopenblas-dev zlib1g-dev libssl-dev libjansson-dev libpng-dev libjpeg-dev"
[ "${1:-}" != tests ] || needed="$needed libcunit1-dev xz-utils"

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "This is not a Debian or Ubuntu system: make sure that these are installed: $needed" >&2
    exit 0
fi
missing=""
for p in $needed; do
    case $(dpkg-query -W -f='${Status}' "$p" 2>/dev/null || true) in
    *" installed") ;;
    *) missing="$missing $p" ;;
    esac
done
if [ -z "$missing" ]; then
    echo "system packages: all there"
    exit 0
fi
sudo=""
if [ "$(id -u)" != 0 ]; then
    sudo=sudo
    if ! command -v sudo >/dev/null 2>&1; then
        echo "System packages are missing, and there is no sudo to install them with. Run this as root, then try again:" >&2
        echo "  apt-get update && apt-get install -y --no-install-recommends$missing" >&2
        exit 1
    fi
fi
echo "installing system packages:$missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
