"""Goal: the screen console shows what it should, and its keyboard works. Method: QEMU's send-key and screendump; the
picture is turned back into text with the font's own data, or compared with the VGA's text memory."""
import re

from lab import TREE, Lab, expect, wait_until

FONT_WIDTH, FONT_HEIGHT, FONT_TOP = 8, 16, 2
# The prompt in the screen's last line; blanks at the end of a line cannot be seen.
PROMPT = re.compile(r"(?:^|\n)[\w.-]+(?:\(config\))?\*?[>#]$")
VGA_TEXT, VGA_COLUMNS, VGA_ROWS = 0xB8000, 80, 25
KEYS = {" ": "spc", "\n": "ret", "-": "minus", ".": "dot", "/": "slash", "\t": "tab", "|": "shift-backslash"}


def type_text(router, text):
    router.press(*(KEYS.get(character) or (f"shift-{character.lower()}" if character.isupper() else character)
                   for character in text))


def font():
    """16 rows of a cell, a byte each -> character; from drivers/font_8x16.c."""
    source = (TREE / "drivers/font_8x16.c").read_text()
    glyphs = re.findall(r"^    \{ ((?:0x[0-9a-f]{2}(?:, )?)+) \}", source, re.MULTILINE)
    expect(len(glyphs) == 95, f"the font has {len(glyphs)} characters")
    table = {}
    for index, glyph in enumerate(glyphs):
        rows = bytes(int(row, 16) for row in glyph.split(", "))
        table[(bytes(FONT_TOP) + rows).ljust(FONT_HEIGHT, b"\0")] = chr(32 + index)
    return table


def cell_bits(rows, left, top, width, height):
    """A byte per row; a bit is 1 where the pixel is not the cell's paper, its most frequent colour."""
    cell = [[rows[top + y][(left + x) * 3:(left + x) * 3 + 3] for x in range(width)] for y in range(height)]
    colors = [pixel for row in cell for pixel in row]
    paper = max(set(colors), key=colors.count)
    return [sum(1 << (width - 1 - x) for x in range(width) if row[x] != paper) for row in cell]


def picture_text(router):
    """The screen of pixels as lines of text; a cell that is no character of the font is '?'."""
    width, height, rows = router.screenshot()
    table = font()
    lines = []
    for top in range(0, height - FONT_HEIGHT + 1, FONT_HEIGHT):
        line = ""
        for left in range(0, width - FONT_WIDTH + 1, FONT_WIDTH):
            line += table.get(bytes(cell_bits(rows, left, top, FONT_WIDTH, FONT_HEIGHT)), "?")
        lines.append(line.rstrip())
    return "\n".join(lines).rstrip()


def vga_text(router):
    """The text in the VGA's memory."""
    cells = router.physical_memory(VGA_TEXT, VGA_COLUMNS * VGA_ROWS * 2)[::2].decode("ascii", "replace")
    lines = [cells[at:at + VGA_COLUMNS].rstrip() for at in range(0, len(cells), VGA_COLUMNS)]
    return "\n".join(lines).rstrip()


def expect_picture_shows(router, text):
    """Equal characters look equal in the screendump and different ones different."""
    width, height, rows = router.screenshot()
    cell_width, cell_height = width // VGA_COLUMNS, height // VGA_ROWS
    looks = {}
    for row, line in enumerate(text.split("\n")):
        for column, character in enumerate(line):
            look = bytes(byte & 0xFF for bits in cell_bits(rows, column * cell_width, row * cell_height, cell_width,
                                                           cell_height) for byte in (bits, bits >> 8))
            expect(looks.setdefault(character, look) == look, f"{character!r} looks different in places")
    letters = [character for character in looks if character.isalnum()]
    expect(len(letters) > 5, "hardly anything on the screen")
    expect(len({looks[letter] for letter in letters}) == len(letters), "two letters look the same")


def session(router, read):
    """A short session by keyboard; read() gives the screen's text."""
    wait_until(lambda: PROMPT.search(read(router)), 10, "prompt on the screen")
    type_text(router, "show version\n")
    wait_until(lambda: "show version" in read(router) and PROMPT.search(read(router)), 10, "the answer")
    screen = read(router)
    expect(screen.count("tsuji") >= 2, f"no version on the screen:\n{screen}")
    type_text(router, "bogus\n")
    wait_until(lambda: "error: " in read(router), 10, "the error")
    # The up arrow brings the line back, control-U clears it.
    router.press("up")
    wait_until(lambda: re.search(r"[>#] bogus$", read(router)), 5, "the line out of the history")
    router.press("ctrl-u")
    wait_until(lambda: PROMPT.search(read(router)), 5, "the empty line")
    # Scrolling keeps the last line at the bottom.
    for _ in range(8):
        type_text(router, "show version\n")
    wait_until(lambda: PROMPT.search(read(router)), 10, "prompt after scrolling")


def test_vga_text_console_with_keyboard():
    with Lab() as lab:
        router = lab.router([None], vga="std", words="console=vga")
        session(router, vga_text)
        expect_picture_shows(router, vga_text(router))


def test_framebuffer_console_with_keyboard():
    with Lab() as lab:
        router = lab.router([None], vga="std", memory_mib=256, boot="iso-uefi", wait=False)
        router.wait_ready(limit_s=60)
        session(router, picture_text)


def test_console_words_choose_the_consoles():
    with Lab() as lab:
        both = lab.router([None], vga="std", words="console=vga")
        both.command("show version")
        wait_until(lambda: PROMPT.search(vga_text(both)), 10, "prompt on the screen")
        expect("show version" not in vga_text(both), "one console's echo on the other")
