#!/usr/bin/env bash
# Puts llama.cpp's prebuilt CPU libraries for Linux x64 into DIR (default: benchmarks/peers/llama), from the npm package
# of node-llama-cpp (MIT). Needs npm; nothing is installed or run.
set -euo pipefail
version=3.22.1
target=${1:-$(dirname "$0")/llama}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "@node-llama-cpp/linux-x64@$version" >/dev/null && tar xzf ./*.tgz)
mkdir -p "$target"
cp "$work"/package/bins/linux-x64/*.so "$work"/package/LICENSE "$target"/
echo "llama.cpp (node-llama-cpp $version) is in $target"
