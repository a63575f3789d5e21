#!/usr/bin/env bash
# Installs a Vulkan driver that computes on the CPU (Mesa's lavapipe), so that GPU kernels can be tested without a GPU. It
# changes the system, so it is for machines that exist for tests: it runs only when it is called, as root, on Debian or
# Ubuntu. Exits with 0 if the driver is there at the end, with 1 and the reason otherwise; tests then skip what needs a GPU.
set -uo pipefail

readonly driver=/usr/share/vulkan/icd.d/lvp_icd
# The oldest that is known to work: 22.3 starts, but lacks what WebGPU asks for.
readonly mesa_minimum=25
readonly backports=/etc/apt/sources.list.d/janus-software-vulkan.sources
readonly lock_wait_seconds=120

give_up() {
  echo "software Vulkan: $1" >&2
  exit 1
}

# Debian 12 calls the file lvp_icd.x86_64.json, its backport and Debian 13 lvp_icd.json.
is_installed() {
  compgen -G "$driver*.json" >/dev/null || return 1
  local version
  version=$(dpkg-query --show --showformat='${Version}' mesa-vulkan-drivers 2>/dev/null) || return 1
  dpkg --compare-versions "$version" ge "$mesa_minimum"
}

apt() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -o "DPkg::Lock::Timeout=$lock_wait_seconds" "$@" >&2
}

command -v apt-get >/dev/null || give_up 'this is neither Debian nor Ubuntu; install a Vulkan driver yourself.'
is_installed && exit 0
[[ $EUID -eq 0 ]] || give_up 'only root can install mesa-vulkan-drivers.'

# shellcheck source=/dev/null
. /etc/os-release
release=()
if [[ ${VERSION_CODENAME:-} == bookworm ]]; then
  release=(-t bookworm-backports)
  trap 'rm -f "$backports"' EXIT
  cat >"$backports" <<SOURCES
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
fi

# An update that fails, as without a network, need not matter: the package may be in the cache.
apt update
apt install -y --no-install-recommends "${release[@]}" mesa-vulkan-drivers || give_up 'apt-get failed, see above.'
is_installed || give_up "the Mesa of this system is older than $mesa_minimum."
