"""What a build prints while nothing is wrong: no line of it may become an error or a warning."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.diagnostics.log_parser import parse_build_log

# Every step that a quiet_cmd of Linux 6.12 prints, and those of tools/, which has its own makefiles.
_STEP_WORDS = """
AR ARCHIVE AS AS32 ASN.1 BINDGEN BISON BLDFW BOOTAR BOOTAS BOOTCC BTF BTFIDS BUILD BZIP2 CALL CAT CC CC32
CERT CHECK CHK CHKDT CHKHEAD CHKREL CHKSHA1 CLEAN CLIPPY CONMK COPY CPP CPREL CPUSTR CXX DEPMOD DEVLIST DTC
DTEX DUMPSYMS ECOFF ELFTOAOUT EXPORTS FIT FLEX GEN GENHDR GENIMAGE GENKEY GENMAP GENSEED GENVDSO GZIP
HDRINST HDRTEST HEXDUMP HOSTCC HOSTCXX HOSTLD HOSTRUSTC HYPCOPY HYPERCALLS HYPREL INSTALL IPE_POL ITS KSYMS
LD LD32 LDS LEX LINT LLSCCHK LOGO LZ4 LZMA LZO M68KAS M68KLD MKCAP MKDIR MKELF MKLST MKMAP MKPIGGY MKREG MOC
MODPOST MUNGE NM OBJCOPY OBJSTRIP OVL PAD PASYMS PERL PERLASM PIGGY POLICY PROMCHK QUOTE RELOCS REMOVE
RSTRIP RUSTC RUSTDOC SCHEMA SECTCMP SEEDHDR SIGN SO2S SORTTAB SPHINX SPU_AS SPU_CC SPU_LD STRIP STRIPREL
STUBCPY SYM SYMLINK SYSCALL SYSHDR SYSNR SYSTBL TABLE TAR TEST UIMAGE UNROLL UPD VDSO VDSO2C VDSO32A VDSO32C
VDSO32L VDSO32SYM VDSO64A VDSO64C VDSO64L VDSO64SYM VDSOAS VDSOCC VDSOCHK VDSOLD VDSOSYM VOFFSET WRAP X32
XIPZ XZ XZKERN XZMISC YACC ZOFFSET ZSTD ZSTD22 CLANG GENSKEL LINK SUBDIR UNINST DESCEND
"""
STEPS = _STEP_WORDS.split()
VARIANTS = ["", " [M]", " [U]", " [C]", " L", " T", " TL", " TK", " P", " H", " FPIC"]
_TARGET_WORDS = """
error.o warning.o drivers/base/fatal.o lib/error-inject.o fs/ERROR.o kernel/panic.o sound/warn.ko
arch/x86/boot/bzImage include/generated/error.h drivers/a.b.c/x-1.0_2.o vmlinux .vmlinux.export.c
/src/lib/warning.c ../tools/error/fail.c /build/./a/../b.o usr/include/linux/errno.h modules.order
arch/arm64/boot/dts/qcom/sc7280-error.dtb arch/arm/boot/dts/warn@1.dtbo a.dt.yaml rust/kernel.o
Documentation/devicetree/bindings Documentation/devicetree/bindings/x,error.yaml Module.symvers
drivers/gpu/ERROR_INJECTION.o scripts/kconfig/lexer.lex.[ch] certs/signing_key.pem init/calibrate
arch/powerpc/kvm/../../../virt/kvm/vfio.o samples/rust/rust_error.o undefined.o not-found.s
"""
TARGETS = _TARGET_WORDS.split()
# Whole lines of kbuild, make, conf, depmod and the shells below them, of tuxmake, and of KernelCI's builders.
LINES = """\
make[1]: Entering directory '/build'
make[1]: Leaving directory '/build/error'
make[3]: 'arch/x86/boot/bzImage' is up to date.
make: Nothing to be done for 'errors'.
make[2]: Nothing to be done for 'scripts_basic'.
make: Entering directory '/home/warning/linux'
make -C /src O=/build ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- error.o
make --silent --keep-going --jobs=8 O=/tmp/build ARCH=x86_64 CC='ccache gcc' defconfig
  GEN     Makefile
  UPD     include/config/kernel.release
  WRAP    arch/arm64/include/generated/uapi/asm/errno.h
  SYNC    include/config/auto.conf.cmd
  CC [M]  drivers/gpu/drm/i915/i915_gpu_error.o
  LD [M]  drivers/edac/amd64_edac.ko
  BTF [M] drivers/edac/error.ko
  INSTALL /build/lib/modules/6.12.0/kernel/lib/error.ko
  DEPMOD  /build/lib/modules/6.12.0
  SIGN    /build/lib/modules/6.12.0/kernel/lib/error.ko
  RUSTC L rust/kernel.o
  EXPORTS rust/exports_kernel_generated.h
  RUSTDOC H rust/macros/lib.rs
  DTC [C] arch/arm64/boot/dts/qcom/msm8916.dtb
  SPHINX  htmldocs --> file:///build/Documentation/output
  CALL    /src/scripts/checksyscalls.sh
  DESCEND objtool
  INSTALL libsubcmd_headers
  CC      /build/tools/objtool/libsubcmd/exec-cmd.o
  LINK    resolve_btfids
  KSYMS   .tmp_vmlinux.kallsyms1.S
Kernel: arch/x86/boot/bzImage is ready  (#1)
Kernel: arch/arm/boot/zImage is ready
  Image arch/arm/boot/Image is ready
Setup is 16316 bytes (padded to 16384 bytes).
System is 13215 kB
CRC 8f6a5c2b
Root device is (8, 1)
Uncompressed kernel size: 0x1a00000
Identity-mapped kernel
scripts/kconfig/conf  --olddefconfig Kconfig
scripts/kconfig/conf --syncconfig Kconfig
# configuration written to .config
configuration written to .config
#
# No change to .config
*** Default configuration is based on 'x86_64_defconfig'
*** End of the configuration.
*** Execute 'make' to start the build or try 'make help'.
* Restart config...
Using .config as base
Merging ./kernel/configs/kvm_guest.config
Value of CONFIG_KVM is redefined by fragment ./error.config:
Previous value: CONFIG_KVM=y
New value: CONFIG_KVM=m
Error injection (ERROR_INJECTION) [N/y/?] n
Warn for stack frames larger than (FRAME_WARN) [2048] 2048
Panic on Oops (PANIC_ON_OOPS) [N/y/?] (NEW)
Compile the kernel with warnings as errors (WERROR) [N/y/?] n
Fatal errors are reported (PCIEAER) [Y/n/?] y
  1. Error (ERROR_CHOICE)
> 2. Warning (WARNING_CHOICE)
choice[1-2?]: 1
*
* Error handling
*
ERROR_INJECTION=y
CONFIG_BUG_ON_DATA_CORRUPTION=y
depmod: INFO: Run depmod with -F to know of errors
DEPMOD 6.12.0
Sorting __ex_table...
Generating X.509 key generation config
Generating a RSA private key
writing new private key to 'certs/signing_key.pem'
-----
net/wireless/certs: 2 keys, 0 errors
x86_64-linux-gnu-ld --version
gcc (Debian 14.2.0-19) 14.2.0
clang version 19.1.7 (3)
rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)
bindgen 0.71.1
Version: DTC 1.7.0
Rust is available!
sparse: 0.6.4
0 errors
0 warnings
0 Warnings 0 Errors
Errors: 0
error: 0
checked 214 syscalls, no error
ccache: hit rate 98 %
real	2m30.120s
+ make -j8 error.o
+ echo 'no error here'
$ make olddefconfig
set -e; mkdir -p include/generated; trap "rm -f .tmp_errors.h" EXIT
mkdir -p /build/errors
rm -f warnings.txt error.log
ln -fsn /src source
make: jobserver: using fifo /tmp/GMfifo1234
# arm64 gcc-14 defconfig
# to reproduce this build locally: tuxmake --target-arch=arm64 --kconfig=defconfig --toolchain=gcc-14
I: config: PASS in 0:00:02.400112
I: default: PASS in 0:10:20.312313
I: build output in /root/.cache/tuxmake/builds/1
2026-11-27 08:00:00,123 INFO Building kernel error/defconfig
2026-11-27T08:00:00Z   CC      lib/error.o
[2026-11-27T08:00:00.123Z]   LD      vmlinux
08:00:00   CC      lib/warn.o
[   12.345678]   CC      lib/x.o
Build succeeded: no warnings, no errors
Build id: error-6.12-arm64
DTC_FLAGS=-@
Documentation/devicetree/bindings: 4123 schemas
tar: Removing leading `/' from member names
cpio: 12 blocks
1234 blocks
dpkg-buildpackage: info: source package linux-upstream
dpkg-deb: building package 'linux-image-6.12.0' in '../linux-image-6.12.0_6.12.0-1_amd64.deb'.
Wrote: /root/rpmbuild/RPMS/x86_64/kernel-6.12.0-1.x86_64.rpm
  HDRINST usr/include/asm/errno.h
  MKPIGGY arch/x86/boot/compressed/piggy.S
BFD: no change
objtool: 0 functions
modules_install: error.ko
1 file changed
note: 2 objects were unchanged
thread count: 8
sha256sum: OK
""".splitlines()

targets = st.one_of(
    st.sampled_from(TARGETS),
    st.from_regex(
        r"[a-z][a-z0-9_./+-]{0,40}(error|warning|fatal|undefined|a)\.(o|ko|c|h|S|dtb|rs)", fullmatch=True
    ),
)
steps = st.builds(
    lambda prefix, step, variant, blanks, target: f"{prefix}{step}{variant}{' ' * blanks}{target}",
    st.sampled_from(["  ", "# "]),
    st.sampled_from(STEPS),
    st.sampled_from(VARIANTS),
    st.integers(1, 6),
    targets,
)


def find_invented(lines: list[str]) -> list[str]:
    log = parse_build_log(lines, failed=False)
    assert log.failed_targets == ()
    return [f"{found.tool}: {found.message}" for found, _ in log.occurrences]


@pytest.mark.parametrize("line", LINES)
def test_an_ordinary_line_is_no_diagnostic(line: str) -> None:
    assert find_invented([line]) == []


def test_no_step_with_any_target_is_a_diagnostic() -> None:
    lines = [
        f"  {step}{variant} {target}" for step in STEPS for variant in VARIANTS[:4] for target in TARGETS
    ]
    assert find_invented(lines) == []


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(steps, st.sampled_from(LINES)), max_size=30))
def test_no_mixture_of_ordinary_lines_is_a_diagnostic(lines: list[str]) -> None:
    assert find_invented(lines) == []


def test_a_count_of_errors_beside_rust_is_none() -> None:
    assert find_invented(["  RUSTC error.o", "error: 0"]) == []


def measure_time(lines: list[str]) -> float:
    start = time.process_time()
    parse_build_log(lines)
    return time.process_time() - start


def test_a_large_log_takes_time_in_proportion() -> None:
    """A million lines may take 20 seconds; 50,000 are tried, and the speed of the machine is measured too."""
    lines = [
        f"  CC [M]  drivers/net/dir{n}/file{n}.o" if n % 8 else LINES[n // 8 % 90] for n in range(50_000)
    ]
    start = time.process_time()
    for line in lines:
        any(word in line for word in ("a", "b", "qq", "xyz", "error", "warning", "CC", "LD")) or line.split()
    trivial = time.process_time() - start
    assert min(measure_time(lines) for _ in range(2)) < max(1.5, 60 * trivial)
