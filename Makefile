# Tsuji: one Makefile, three builds of the same sources.
#   build/kernel   freestanding, linked by linker.ld into build/tsuji.elf
#   build/host     the router as a Linux process, -O2
#   build/test     the same with ASan, UBSan and all checks: unit tests, simulations
# `make DEBUG=1` puts a kernel with the debug allocator and all checks into build/debug.

CC      ?= gcc
ifeq ($(origin CC),default)
CC      := gcc
endif
CLANG   ?= clang-14
CLANG_FORMAT ?= clang-format-14
PYTHON  ?= /usr/bin/python3
DEBUG   ?= 0
T       ?=

ifeq ($(DEBUG),1)
OUT     := build/debug
KIND    := debug
else
OUT     := build
KIND    := release
endif
KERNEL  := $(OUT)/kernel
HOST    := $(OUT)/host

# Two jobs, unless the command line says otherwise.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j2
endif

# The disassembler's sources (tools/zydis).
ZYDIS   := $(realpath $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tsuji/zydis/current)

# What is missing is said here, in words, but for the goals that need nothing or install it.
TOOLS   := $(firstword $(CC)) ld objcopy nm $(PYTHON) \
             $(if $(filter check compilers fuzz% format%,$(MAKECMDGOALS)),$(CLANG) $(CLANG_FORMAT))
ifneq ($(filter-out help clean run test soak,$(or $(MAKECMDGOALS),all)),)
MISSING := $(strip $(shell for tool in $(TOOLS); do command -v $$tool > /dev/null || echo $$tool; done) \
             $(if $(ZYDIS),,zydis))
ifneq ($(MISSING),)
$(error Missing: $(MISSING). Run tools/setup)
endif
endif

# ---- Sources, by layer ------------------------------------------------------------------------
# Everything above the seam is compiled in every build; what is under it only in its own.
ABOVE_SEAM  := $(wildcard kernel/base/*.c drivers/*.c jit/*.c net/wire/*.c net/*.c shell/*.c)
# Bare-metal code that is pure (bytes in, values out), so that it is unit-tested and fuzzed as well.
PURE_KERNEL := $(wildcard boot/boot_info.c kernel/x86/acpi_tables.c kernel/page_allocator.c \
                 kernel/heap.c kernel/debug_allocator.c kernel/cmos_time.c kernel/clock_measure.c \
                 kernel/random_generator.c)
KERNEL_C    := $(sort $(ABOVE_SEAM) $(wildcard boot/*.c kernel/*.c kernel/x86/*.c kernel/libc/*.c))
KERNEL_S    := $(wildcard boot/*.S kernel/x86/*.S kernel/libc/*.S)
HOST_SEAM   := $(wildcard tests/host/*.c)
HOST_SEAM_S := kernel/x86/coroutine_switch.S

# ---- Flags ------------------------------------------------------------------------------------
# What whoever includes Zydis must be told as well as its own sources.
ZYDIS_FLAGS := -isystem $(ZYDIS)/include -DZYAN_NO_LIBC -DZYDIS_STATIC_BUILD -DZYCORE_STATIC_BUILD \
               -DZYDIS_DISABLE_ENCODER -DZYDIS_DISABLE_KNC -DZYDIS_DISABLE_SEGMENT
WARNINGS    := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Werror
VERSION     := 0.1
# The tree may belong to somebody else than who builds it, root for instance.
COMMIT      := $(shell git -c safe.directory='*' rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
COMMON      := -std=c11 -g -I. $(WARNINGS) -fno-common -fno-omit-frame-pointer -MMD -MP $(ZYDIS_FLAGS)
KERNEL_CFLAGS := $(COMMON) -O2 -ffreestanding -mcmodel=kernel -fno-pic -fno-pie -fno-stack-protector \
               -fno-asynchronous-unwind-tables -fcf-protection=none -ffunction-sections -fdata-sections \
               -nostdinc -isystem $(shell $(CC) -print-file-name=include 2>/dev/null) -isystem kernel/libc/include \
               -Ikernel/x86
# Interrupt handlers must leave the vector registers of what they interrupt alone.
HANDLER_CFLAGS := -mgeneral-regs-only
HOST_CFLAGS := $(COMMON) -D_GNU_SOURCE -pthread -Itests/host
ifeq ($(DEBUG),1)
KERNEL_CFLAGS += -DTSUJI_DEBUG
HOST_CFLAGS += -DTSUJI_DEBUG
endif
SANITIZE    := -fsanitize=address,undefined -fno-sanitize-recover=all

.PHONY: all image host run test check bench bench-qemu soak fuzz format format-check layers debug clean help \
        unit unit-clang tsan fuzzers compilers reference reference-check
all: $(OUT)/tsuji.elf

help:
	@echo "make            $(OUT)/tsuji.elf, the router: boot it by GRUB or qemu -kernel"
	@echo "make DEBUG=1    the same with the debug allocator and all checks, in build/debug"
	@echo "make image      build/tsuji.iso, a hybrid image for BIOS and UEFI; CONFIG=file: with that configuration"
	@echo "make host       $(HOST)/tsuji, the router as one Linux process"
	@echo "make run        boots it here between two live hosts (tools/run.sh)"
	@echo "make test       all tests; T=word runs those whose name has the word (tools/test.sh)"
	@echo "make check      formatting, layers, both compilers, quick tests: what a commit wants"
	@echo "make reference  shell/COMMANDS.md, the reference of all commands, from their tables"
	@echo "make tsan       the tests with threads, and two cores that forward, watched by ThreadSanitizer"
	@echo "make fuzz       the fuzzers for longer; make soak: the long versions of all tests"
	@echo "make bench      figures beside those of peers; make bench-qemu: guest instructions"
	@echo "make debug      QEMU waiting for gdb; make format: clang-format over everything"
	@echo "make clean      removes build/; V=1 with any of these shows the commands themselves"

MAKEFLAGS += --no-builtin-rules

# One short line per step; V=1 shows the commands themselves.
ifneq ($(V),1)
say = @printf '  %-6s %s\n' $(1) $@;
endif

include tools/zydis.mk
include tools/kernel.mk
include tools/images.mk
include tools/tests.mk

host: $(HOST)/tsuji $(HOST)/flows
run:
	@tools/run.sh
test:
	@tools/test.sh $(T)
# The cheapest first; one after the other, so that the last words are about what failed.
check: format-check
	@$(MAKE) --no-print-directory compilers
	@$(MAKE) --no-print-directory layers
	@$(MAKE) --no-print-directory reference-check
	@$(MAKE) --no-print-directory unit
# Not asked of git: the tree may have come without it.
SOURCES = $(shell find $(wildcard boot drivers jit kernel net shell tests) -name '*.[ch]')
format:
	$(CLANG_FORMAT) -i $(SOURCES)
format-check:
	@$(CLANG_FORMAT) --dry-run -Werror $(SOURCES)
layers:
	@$(PYTHON) tools/check_layers.py --self-test
# What there is to type, for people, from the command tables.
reference: $(HOST)/tsuji
	$(PYTHON) tools/make_reference.py $< > $(OUT)/COMMANDS.md
	cp $(OUT)/COMMANDS.md shell/COMMANDS.md
reference-check: $(HOST)/tsuji
	@$(PYTHON) tools/make_reference.py $< | diff shell/COMMANDS.md - || \
	  { echo "shell/COMMANDS.md does not say what the tables do: make reference"; exit 1; }
# Each compiler builds everything from the same sources without a warning.
compilers:
	@$(MAKE) --no-print-directory CC=gcc all host build/host/datapath_bench
	@$(MAKE) --no-print-directory CC=gcc DEBUG=1 all
	@$(MAKE) --no-print-directory CC=$(CLANG) OUT=build/clang all host build/clang/host/datapath_bench
# Written only when it changes: what shows the commit is compiled again then.
build/commit: FORCE
	@mkdir -p build
	@[ "$$(cat $@ 2> /dev/null)" = "$(COMMIT)" ] || echo "$(COMMIT)" > $@
clean:
	rm -rf build
