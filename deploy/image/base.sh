#!/bin/sh
# The base image for `make image-test`: pulled where a registry answers, else made by a script (CONTAINER_BASE in the
# Makefile), with a folder of wheels for what the package index does not have.
#
#   base.sh SCRIPT WHEELS
set -eu
base=docker.io/library/python:3.11-slim

command -v buildah >/dev/null && { buildah images -q "$base" >/dev/null 2>&1 || buildah pull -q "$base" >/dev/null 2>&1; } && exit
"$1" --copy "$2:/wheels" "$base"
container=$(buildah from --pull-never "$base")
buildah config --env UV_FIND_LINKS=/wheels "$container"
buildah commit -q "$container" "$base" >/dev/null
buildah rm "$container" >/dev/null
