# Zydis (tools/zydis) as objects of each build: its decoder and its formatter, without what we do not ask for. They need no
# C library but a few functions of ours (kernel/libc), have no state, and take a few seconds; so nothing of it is kept
# outside build/. Its warnings are its own.

ZYDIS_SOURCES := $(filter-out %/Encoder.c %/EncoderData.c,$(wildcard $(ZYDIS)/src/*.c))
ZYDIS_OBJECTS := $(ZYDIS_SOURCES:$(ZYDIS)/src/%.c=$(notdir $(ZYDIS))/%.o)
ZYDIS_KERNEL  := $(ZYDIS_OBJECTS:%=$(KERNEL)/zydis/%)
ZYDIS_HOSTED  := $(ZYDIS_OBJECTS:%=build/zydis/%)

$(KERNEL)/zydis/$(notdir $(ZYDIS))/%.o: $(ZYDIS)/src/%.c
	@mkdir -p $(@D)
	$(call say,zydis)$(CC) $(KERNEL_CFLAGS) -DNDEBUG -I$(ZYDIS)/src -w -c $< -o $@

build/zydis/$(notdir $(ZYDIS))/%.o: $(ZYDIS)/src/%.c
	@mkdir -p $(@D)
	$(call say,zydis)$(CC) $(HOST_CFLAGS) -O2 -DNDEBUG -I$(ZYDIS)/src -w -c $< -o $@
