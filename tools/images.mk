# What is booted other than by `qemu -kernel`: for now the hybrid ISO, for CD and disk, BIOS and UEFI.
# `make image CONFIG=file` puts a configuration into it.

$(OUT)/tsuji.iso: $(OUT)/tsuji.elf tools/grub.cfg $(OUT)/config.txt
	@command -v grub-mkrescue > /dev/null || { echo "grub-mkrescue is missing: run tools/setup"; exit 1; }
	@rm -rf $(OUT)/iso && mkdir -p $(OUT)/iso/boot/grub
	cp $(OUT)/tsuji.elf $(OUT)/iso/boot/tsuji.elf
	cp tools/grub.cfg $(OUT)/iso/boot/grub/grub.cfg
	if [ -s $(OUT)/config.txt ]; then cp $(OUT)/config.txt $(OUT)/iso/boot/config.txt; fi
	grub-mkrescue --locales= --fonts= -o $@ $(OUT)/iso 2> $(OUT)/iso.log || { cat $(OUT)/iso.log; exit 1; }

# Written only when CONFIG is another text than before, or none: the ISO is made again then.
$(OUT)/config.txt: FORCE
	@mkdir -p $(@D)
	@cmp -s "$(or $(CONFIG),/dev/null)" $@ || cat "$(or $(CONFIG),/dev/null)" > $@
image: $(OUT)/tsuji.iso
.PHONY: FORCE
FORCE:

# QEMU stands still at the first instruction until gdb says so.
debug: all
	@echo "gdb $(OUT)/tsuji.elf.debug -ex 'target remote localhost:1234'      (Control-A, x ends QEMU)"
	qemu-system-x86_64 -nodefaults -display none -machine q35 -smp 2 -m 256 -kernel $(OUT)/tsuji.elf \
	  -append "console=com1 test" -serial mon:stdio -gdb tcp:localhost:1234 -S
