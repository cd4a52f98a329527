#!/bin/sh
set -eu
exec tuxmake \
  --target-arch=powerpc \
  --kconfig=/out/3.config \
  --toolchain=gcc \
  --wrapper=none \
  --environment=KBUILD_BUILD_TIMESTAMP=@1795765351 \
  --environment=KBUILD_BUILD_USER=tuxmake \
  --environment=KBUILD_BUILD_HOST=tuxmake \
  --runtime=null \
  --verbose \
  --image=tuxmake/powerpc_gcc \
  config
