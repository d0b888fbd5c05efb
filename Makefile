# SPDX-License-Identifier: GPL-2.0
#
# Begin with `make demo` and `make check`.

# The newest installed kernel headers.
KDIR ?= $(lastword $(shell ls -d /lib/modules/*/build 2>/dev/null | sort -V))

.PHONY: help
help:
	@echo 'make demo      a VM with an NVMe disk behind the emulated DART, end to end'
	@echo 'make demo-passthrough   the same through a driver extension, as on a Mac'
	@echo 'make check     the quick set of tests for every change; 15 minutes'
	@echo 'make check-full   every test; long'
	@echo 'make bench     the cost of mappings compared with other IOMMUs, into build/bench;'
	@echo '               75 minutes (scripts/bench --quick: 15; --help for parts of it)'
	@echo 'make kernels   build, check and boot every kernel of the Debian mirror; prints the matrix'
	@echo 'make soak MINUTES=10   random events in guests with verified data'
	@echo '               (scripts/soak --seed S repeats a run)'
	@echo 'make compat    stock devices and drivers behind the DART, tables into build/compat;'
	@echo '               long (scripts/compat --help for parts of it)'
	@echo
	@echo 'make module    build apple_dma.ko against KDIR, with W=1'
	@echo '               (KDIR=$(if $(KDIR),$(KDIR),none found: install linux-headers-amd64 or set it))'
	@echo 'make install   the module for that kernel, loaded early at boot; make uninstall removes it'
	@echo 'make dkms-install   the same for all present and future kernels; make dkms-remove'
	@echo '               (REPLACE=1 with either replaces another project'\''s module of this name)'
	@echo 'make deb       Debian packages, into build/deb'
	@echo 'make source    the source of the last commit, with an rpm spec and a PKGBUILD (both'
	@echo '               untested on their systems), into build/source'
	@echo 'make install-tools   the command apple-dma, its manual and completion;'
	@echo '               PREFIX=$(PREFIX), DESTDIR; make uninstall-tools removes them'
	@echo
	@echo 'make emulator  build the host emulator for the installed QEMU'
	@echo 'make kunit     the KUnit suites in user-mode Linux and in a debug kernel'
	@echo 'make unit      unit tests of the emulator: DART, extension, companion'
	@echo 'make fuzz      libFuzzer on the extension, its socket, its NVMe controller and the'
	@echo '               companion, FUZZ_SECONDS each (default 600)'
	@echo 'make static    static checks only: sparse, coccinelle, clang-tidy, shellcheck ...'
	@echo 'make clean     remove build results (caches stay in ~/.cache/apple-dma)'
	@echo
	@echo 'scripts/testbed run --help   boot a guest with any QEMU device behind the DART'

.PHONY: module
module:
	@test -n '$(KDIR)' || { echo 'make: no kernel headers in /lib/modules/*/build;' \
		'run scripts/setup module, or set KDIR' >&2; exit 1; }
	@test -e '$(KDIR)/Makefile' || { echo 'make: KDIR=$(KDIR) is not a kernel build tree' >&2; exit 1; }
	$(MAKE) -C '$(KDIR)' M='$(CURDIR)' W=1 modules

.PHONY: install
install: module
	@KDIR='$(KDIR)' DESTDIR='$(DESTDIR)' REPLACE='$(REPLACE)' scripts/install module

.PHONY: uninstall
uninstall:
	@DESTDIR='$(DESTDIR)' scripts/install uninstall

.PHONY: dkms-install
dkms-install:
	@DESTDIR='$(DESTDIR)' REPLACE='$(REPLACE)' scripts/install dkms

.PHONY: dkms-remove
dkms-remove:
	@DESTDIR='$(DESTDIR)' scripts/install dkms-remove

.PHONY: deb
deb:
	scripts/setup deb
	scripts/make-deb

version := $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)

.PHONY: source
source:
	rm -rf build/source
	mkdir -p build/source
	git archive --prefix=apple-dma-$(version)/ -o build/source/apple-dma-$(version).tar.gz HEAD
	sed -e 's/@VERSION@/$(version)/' \
		-e "s/@DATE@/$$(LC_ALL=C date -u -d @$$(git log -1 --format=%ct) '+%a %b %d %Y')/" \
		packaging/rpm/apple-dma-dkms.spec >build/source/apple-dma-dkms.spec
	sed -e 's/@VERSION@/$(version)/' -e "s/@SHA256@/$$(sha256sum \
		build/source/apple-dma-$(version).tar.gz | cut -d ' ' -f 1)/" \
		packaging/arch/PKGBUILD >build/source/PKGBUILD
	cat packaging/other-module packaging/arch/install >build/source/apple-dma.install

PREFIX ?= /usr/local
# Debian's zsh looks for the completions of packages in a folder of its own.
zsh_functions = $(PREFIX)/share/zsh/$(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)

.PHONY: install-tools
install-tools:
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/share/apple-dma/apple_dma' \
		'$(DESTDIR)$(PREFIX)/share/man/man4' '$(DESTDIR)$(PREFIX)/share/man/man8' \
		'$(DESTDIR)$(PREFIX)/share/bash-completion/completions' \
		'$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d' '$(DESTDIR)$(zsh_functions)'
	install -m 755 tools/apple-dma '$(DESTDIR)$(PREFIX)/bin/'
	install -m 644 tools/apple_dma/*.py '$(DESTDIR)$(PREFIX)/share/apple-dma/apple_dma/'
	sed -n '/^PACKAGE_VERSION=/p' dkms.conf >'$(DESTDIR)$(PREFIX)/share/apple-dma/VERSION'
	chmod 644 '$(DESTDIR)$(PREFIX)/share/apple-dma/VERSION'
	install -m 644 tools/man/apple_dma.4 '$(DESTDIR)$(PREFIX)/share/man/man4/'
	install -m 644 tools/man/apple-dma.8 '$(DESTDIR)$(PREFIX)/share/man/man8/'
	install -m 644 tools/completion/bash/apple-dma \
		'$(DESTDIR)$(PREFIX)/share/bash-completion/completions/'
	install -m 644 tools/completion/fish/apple-dma.fish \
		'$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/'
	install -m 644 tools/completion/zsh/_apple-dma '$(DESTDIR)$(zsh_functions)/'

.PHONY: uninstall-tools
uninstall-tools:
	rm -rf '$(DESTDIR)$(PREFIX)/share/apple-dma'
	rm -f '$(DESTDIR)$(PREFIX)/bin/apple-dma' \
		'$(DESTDIR)$(PREFIX)/share/man/man4/apple_dma.4' \
		'$(DESTDIR)$(PREFIX)/share/man/man8/apple-dma.8' \
		'$(DESTDIR)$(PREFIX)/share/bash-completion/completions/apple-dma' \
		'$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/apple-dma.fish' \
		'$(DESTDIR)$(zsh_functions)/_apple-dma'

.PHONY: emulator
emulator:
	scripts/setup emulator vm
	$(MAKE) -C host-emu shim

.PHONY: unit
unit:
	scripts/setup emulator
	$(MAKE) -C host-emu unit

.PHONY: fuzz
fuzz:
	scripts/setup fuzz
	$(MAKE) -C host-emu fuzz

.PHONY: kunit
kunit:
	scripts/setup module emulator vm kernel
	scripts/kunit

.PHONY: demo
demo:
	scripts/demo

.PHONY: demo-passthrough
demo-passthrough:
	scripts/demo --passthrough

.PHONY: check
check:
	scripts/check $(CHECK)

.PHONY: check-full
check-full:
	scripts/check --full

.PHONY: bench
bench:
	scripts/bench

.PHONY: kernels
kernels:
	scripts/kernels

.PHONY: compat
compat:
	scripts/setup emulator vm module
	scripts/compat

.PHONY: soak
soak:
	scripts/soak --minutes $(or $(MINUTES),10)

.PHONY: static
static:
	scripts/check --only static

.PHONY: clean-module
clean-module:
	@test ! -e '$(KDIR)/Makefile' || $(MAKE) -C '$(KDIR)' M='$(CURDIR)' clean

.PHONY: clean
clean: clean-module
	rm -rf build
