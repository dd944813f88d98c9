# How build/tsuji.elf is made: compile, link once without names, make the table of function names from
# that, link again with it. The second link moves nothing: the table is the last read-only section.

KERNEL_OBJECTS := $(KERNEL_C:%.c=$(KERNEL)/%.o) $(KERNEL_S:%.S=$(KERNEL)/%.S.o) $(ZYDIS_KERNEL)
KERNEL_LD      := ld -m elf_x86_64 -nostdlib -static --gc-sections -z noexecstack -z max-page-size=4096 \
                  -T linker.ld

$(KERNEL)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc)$(CC) $(KERNEL_CFLAGS) $(if $(findstring /interrupt,$<),$(HANDLER_CFLAGS)) -c $< -o $@

$(KERNEL)/%.S.o: %.S
	@mkdir -p $(@D)
	$(call say,cc)$(CC) $(KERNEL_CFLAGS) -c $< -o $@

# The commit is in one object alone, so that a new one recompiles one file.
$(KERNEL)/kernel/base/version.o: build/commit
$(KERNEL)/kernel/base/version.o: KERNEL_CFLAGS += -DTSUJI_COMMIT='"$(COMMIT)"' -DTSUJI_VERSION='"$(VERSION)"' -DTSUJI_BUILD='"$(KIND)"'

$(KERNEL)/no_symbols.S: tools/make_symbols.py
	@mkdir -p $(@D)
	$(call say,names)$(PYTHON) tools/make_symbols.py < /dev/null > $@

$(KERNEL)/symbols.S: $(KERNEL)/pass1.elf tools/make_symbols.py
	$(call say,names)nm -n $< | $(PYTHON) tools/make_symbols.py > $@

$(KERNEL)/symbols.o $(KERNEL)/no_symbols.o: %.o: %.S
	$(call say,cc)$(CC) -c $< -o $@

$(KERNEL)/pass1.elf: $(KERNEL_OBJECTS) $(KERNEL)/no_symbols.o linker.ld tools/check_handlers.py
	@$(PYTHON) tools/check_handlers.py $(KERNEL_OBJECTS)
	$(call say,link)$(KERNEL_LD) -o $@ $(KERNEL_OBJECTS) $(KERNEL)/no_symbols.o

$(OUT)/tsuji.elf.debug: $(KERNEL)/pass1.elf $(KERNEL)/symbols.o
	$(call say,link)$(KERNEL_LD) -Map=$(KERNEL)/tsuji.map -o $@ $(KERNEL_OBJECTS) $(KERNEL)/symbols.o

$(OUT)/tsuji.elf: $(OUT)/tsuji.elf.debug
	$(call say,strip)objcopy --strip-all $< $@
	@ls -l $@ | awk '{ print "$(OUT)/tsuji.elf:", $$5, "bytes" }'

-include $(KERNEL_OBJECTS:.o=.d)
