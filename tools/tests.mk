# The hosted builds: unit tests and simulations (build/test), fuzzers (build/fuzz), the router as a process
# (build/host), and all that runs threads once more with ThreadSanitizer (build/tsan). Tests of all kinds have
# all checks on.

TEST_SOURCES := $(ABOVE_SEAM) $(PURE_KERNEL) $(HOST_SEAM)
TEST_LIB     := $(ZYDIS_HOSTED) $(TEST_SOURCES:%.c=build/test/%.o) $(HOST_SEAM_S:%=build/test/%.o)
UNIT_OBJECTS := $(patsubst %.c,build/test/%.o,$(wildcard tests/unit/*.c tests/sim/*.c))
HOST_OBJECTS := $(ZYDIS_HOSTED) $(patsubst %.c,$(HOST)/%.o,$(ABOVE_SEAM) $(HOST_SEAM) $(wildcard tests/host/process/*.c)) \
                $(HOST_SEAM_S:%=$(HOST)/%.o)
BENCH_LIB    := $(ZYDIS_HOSTED) $(patsubst %.c,$(HOST)/%.o,$(ABOVE_SEAM) $(HOST_SEAM)) $(HOST_SEAM_S:%=$(HOST)/%.o)
BENCH_OBJECTS := $(BENCH_LIB) $(HOST)/tests/bench/datapath_bench.o $(HOST)/tests/bench/memory_nic.o
FIB_BENCH    := $(patsubst %,$(HOST)/tests/bench/%.o,fib_race fib_bench fib6_bench filter_bench)
CHAIN_BENCH  := $(patsubst %,$(HOST)/tests/bench/%.o,chain_bench chain_kernel chain_pcap)
FUZZ_LIB     := $(ZYDIS_HOSTED) $(TEST_SOURCES:%.c=build/fuzz/%.o) $(HOST_SEAM_S:%=build/fuzz/%.o)
FUZZERS      := $(patsubst tests/fuzz/%_fuzz.c,build/fuzz/%_fuzz,$(wildcard tests/fuzz/*_fuzz.c))
# The unit tests that start threads; the router as a process does the rest (tests/system/race_tests.py).
THREADED     := ring snapshot packet fib_readers filter_changes
TSAN_LIB     := $(ZYDIS_HOSTED) $(patsubst %.c,build/tsan/%.o,$(ABOVE_SEAM) $(HOST_SEAM)) $(HOST_SEAM_S:%=build/tsan/%.o)
TSAN_UNIT    := build/tsan/tests/unit/test_main.o $(THREADED:%=build/tsan/tests/unit/%_test.o)
TSAN_HOST    := $(patsubst %.c,build/tsan/%.o,$(wildcard tests/host/process/*.c))
UNIT_CLANG_OBJECTS := $(UNIT_OBJECTS:build/test/%=build/fuzz/%)
# The unit tests that compare so often that only an optimized build is quick enough.
COMPARING    := fib4 fib6 bpf jit_filter filter filter_changes
COMPARE_UNIT := $(ZYDIS_HOSTED) $(patsubst %.c,$(HOST)/%.o,$(ABOVE_SEAM) $(HOST_SEAM)) $(HOST_SEAM_S:%=$(HOST)/%.o) \
                $(HOST)/tests/unit/test_main.o $(COMPARING:%=$(HOST)/tests/unit/%_test.o) $(HOST)/tests/unit/bpf_oracle.o $(HOST)/tests/unit/lab.o
# A packet filter that is not ours, for the one that is.
UNIT_LIBS    := -lpcap
VERSION_FLAGS := -DTSUJI_COMMIT='"$(COMMIT)"' -DTSUJI_VERSION='"$(VERSION)"'

# What is tested runs often enough to be optimized; the tests do not, and most of the time goes into compiling.
TEST_OPTIMIZE := -O1
$(UNIT_OBJECTS) $(UNIT_CLANG_OBJECTS): TEST_OPTIMIZE := -O0

build/test/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc)$(CC) $(HOST_CFLAGS) $(TEST_OPTIMIZE) -DTSUJI_DEBUG $(SANITIZE) $(if $(findstring base/version,$<),$(VERSION_FLAGS) -DTSUJI_BUILD='"debug"') -c $< -o $@

$(HOST)/kernel/base/version.o: build/commit
$(HOST)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc)$(CC) $(HOST_CFLAGS) -O2 $(if $(findstring base/version,$<),$(VERSION_FLAGS) -DTSUJI_BUILD='"$(KIND)"') -c $< -o $@

# Instrumented for libFuzzer and for line coverage at once.
build/fuzz/%.o: %.c
	@mkdir -p $(@D)
	$(call say,clang)$(CLANG) $(HOST_CFLAGS) $(TEST_OPTIMIZE) -DTSUJI_DEBUG $(SANITIZE) -fsanitize=fuzzer-no-link -fprofile-instr-generate -fcoverage-mapping \
	  $(if $(findstring base/version,$<),$(VERSION_FLAGS) -DTSUJI_BUILD='"debug"') -c $< -o $@

# By clang: gcc refuses fences under ThreadSanitizer. No check is lost, as no data here hangs from a fence alone.
build/tsan/%.o: %.c
	@mkdir -p $(@D)
	$(call say,tsan)$(CLANG) $(HOST_CFLAGS) $(TEST_OPTIMIZE) -DTSUJI_DEBUG -fsanitize=thread \
	  $(if $(findstring base/version,$<),$(VERSION_FLAGS) -DTSUJI_BUILD='"debug"') -c $< -o $@

# One rule for each: a pattern rule with several targets promises to make them all at once.
define assemble
$(1)/%.S.o: %.S
	@mkdir -p $$(@D)
	$$(call say,cc)$$(CC) -g -c $$< -o $$@
endef
$(foreach build,build/test build/fuzz build/tsan $(HOST),$(eval $(call assemble,$(build))))

build/test/unit: $(TEST_LIB) $(UNIT_OBJECTS)
	$(call say,link)$(CC) $(SANITIZE) -pthread -o $@ $^ $(UNIT_LIBS)

build/fuzz/libtsuji.a: $(FUZZ_LIB)
	$(call say,ar)rm -f $@ && ar rcs $@ $^

build/fuzz/%_fuzz: build/fuzz/tests/fuzz/%_fuzz.o build/fuzz/libtsuji.a
	$(call say,link)$(CLANG) $(SANITIZE) -fsanitize=fuzzer -fprofile-instr-generate -fcoverage-mapping -pthread -o $@ $^

# The unit tests by the other compiler, from the fuzzers' objects.
build/fuzz/unit: $(UNIT_CLANG_OBJECTS) build/fuzz/libtsuji.a
	$(call say,link)$(CLANG) $(SANITIZE) -fsanitize=fuzzer-no-link -fprofile-instr-generate -fcoverage-mapping -pthread -o $@ $^ $(UNIT_LIBS)

$(HOST)/unit: $(COMPARE_UNIT)
	$(call say,link)$(CC) -pthread -o $@ $^ $(UNIT_LIBS)

build/tsan/unit: $(TSAN_LIB) $(TSAN_UNIT)
	$(call say,link)$(CLANG) -fsanitize=thread -pthread -o $@ $^

build/tsan/tsuji: $(TSAN_LIB) $(TSAN_HOST)
	$(call say,link)$(CLANG) -fsanitize=thread -pthread -o $@ $^

$(HOST)/tsuji: $(HOST_OBJECTS)
	$(call say,link)$(CC) -pthread -o $@ $^

# Programs of the system tests.
$(HOST)/flows: tests/system/flows.c
	@mkdir -p $(@D)
	$(call say,cc)$(CC) $(HOST_CFLAGS) -O2 -o $@ $<

$(HOST)/datapath_bench: $(BENCH_OBJECTS)
	$(call say,link)$(CC) -pthread -o $@ $^

$(HOST)/packet_generator: $(BENCH_LIB) $(HOST)/tests/bench/packet_generator.o
	$(call say,link)$(CC) -pthread -o $@ $^

# DPDK's headers are not written for our warnings and want GNU C, and a processor's name.
$(FIB_BENCH): HOST_CFLAGS += -std=gnu11 $(subst -I,-isystem ,$(shell pkg-config --cflags libdpdk 2>/dev/null))
$(HOST)/fib_bench $(HOST)/fib6_bench $(HOST)/filter_bench: $(HOST)/%: $(BENCH_LIB) $(HOST)/tests/bench/fib_race.o $(HOST)/tests/bench/%.o
	$(call say,link)$(CC) -pthread -o $@ $^ $$(pkg-config --libs libdpdk)

$(HOST)/bpf_bench: $(BENCH_LIB) $(HOST)/tests/unit/bpf_oracle.o $(HOST)/tests/bench/bpf_bench.o
	$(call say,link)$(CC) -pthread -o $@ $^ -lpcap

$(HOST)/chain_bench: $(BENCH_LIB) $(CHAIN_BENCH)
	$(call say,link)$(CC) -pthread -o $@ $^ -lpcap

.SECONDARY:

unit: build/test/unit
	build/test/unit $(T)
unit-clang: build/fuzz/unit
	LLVM_PROFILE_FILE=/dev/null build/fuzz/unit $(T)
# Does a core read what another one writes, without an order between them?
tsan: build/tsan/unit build/tsan/tsuji
	build/tsan/unit
	tests/system/run.py race.
fuzzers: $(FUZZERS)
# Each target for a minute; what is found stays in build/fuzz/found.
fuzz: fuzzers
	tests/fuzz/run.py --seconds 60 $(T)
# The long versions: SOAK=1 is what the tests look at.
soak:
	SOAK=1 tools/test.sh $(T)
	tests/fuzz/run.py --seconds 600 $(T)

# Figures, not tests: see tests/bench/README.md.
bench: all $(HOST)/datapath_bench
	-tools/setup bench
	$(MAKE) --no-print-directory $(HOST)/bpf_bench
	-zcat "$${TSUJI_DATA:-../shared/data}/bpf/packets.pcap.gz" | $(HOST)/bpf_bench 301
	$(MAKE) --no-print-directory $(HOST)/chain_bench
	for count in 10 100 1000; do $(HOST)/chain_bench 31 $$count; done
	tests/bench/boot_bench.py
	tests/bench/datapath_bench.py
	tests/bench/busy_bench.py
	-! pkg-config --exists libdpdk || $(MAKE) --no-print-directory $(HOST)/fib_bench $(HOST)/fib6_bench $(HOST)/filter_bench
	tests/bench/fib_bench.py
	tests/bench/filter_bench.py
bench-qemu: all $(HOST)/packet_generator
	tests/bench/forward_bench.sh nic=virtio attach=vhost table=1
	tests/bench/forward_bench.sh nic=virtio table=1
	tests/bench/forward_bench.sh nic=e1000 table=1
	tests/bench/forward_bench.sh nic=e1000e table=1
	tests/bench/forward_bench.sh nic=igb table=1
	tests/bench/forward_bench.sh family=6 nic=virtio
	tests/bench/forward_bench.sh family=6 nic=e1000
	tests/bench/forward_bench.sh family=6 nic=e1000e
	tests/bench/forward_bench.sh family=6 nic=igb

-include $(TEST_LIB:.o=.d) $(TSAN_LIB:.o=.d) $(TSAN_UNIT:.o=.d) $(TSAN_HOST:.o=.d) $(UNIT_OBJECTS:.o=.d) $(UNIT_CLANG_OBJECTS:.o=.d) $(HOST_OBJECTS:.o=.d) $(COMPARE_UNIT:.o=.d) $(BENCH_OBJECTS:.o=.d) $(FIB_BENCH:.o=.d) $(CHAIN_BENCH:.o=.d) $(HOST)/tests/bench/bpf_bench.d $(HOST)/tests/bench/packet_generator.d $(FUZZ_LIB:.o=.d) \
         $(FUZZERS:build/fuzz/%=build/fuzz/tests/fuzz/%.d)
