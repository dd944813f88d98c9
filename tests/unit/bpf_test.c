/* Goal: a filter answers as libpcap says, interpreted and compiled, whatever the program and the
 * packet. Method: libpcap's own bpf_filter() (bpf_oracle.h) beside both, over random programs, over
 * what libpcap compiles from expressions with real frames that were cut and changed, and over
 * verdicts that tcpdump gave once (bpf/ of the shared data). Each packet ends where memory ends, so
 * that a load beyond it cannot be missed. */
#include "jit/bpf.h"

#include <Zydis/Zydis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/base/bytes.h"
#include "kernel/platform.h"
#include "tests/unit/bpf_oracle.h"
#include "tests/unit/test.h"

static uint64_t random_state;

static uint32_t next_random(void)
{
    random_state = random_state * 6364136223846793005 + 1442695040888963407;
    return (uint32_t)(random_state >> 32);
}

static bool one_of(unsigned n)
{
    return next_random() % n == 0;
}

/* ---- Programs ---------------------------------------------------------------------------------
 */

enum { PROGRAM_MAX = 64, WORD_STORES = BPF_WORDS };

struct program {
    struct bpf_instruction code[PROGRAM_MAX];
    size_t count;
    bool libpcap_knows; /* its answer is not left to chance by libpcap */
};

static const uint16_t codes[] = {
    BPF_LD_WORD,
    BPF_LD_HALF,
    BPF_LD_BYTE,
    BPF_LD_WORD_INDEXED,
    BPF_LD_HALF_INDEXED,
    BPF_LD_BYTE_INDEXED,
    BPF_LD_VALUE,
    BPF_LD_MEMORY,
    BPF_LD_LENGTH,
    BPF_LDX_VALUE,
    BPF_LDX_MEMORY,
    BPF_LDX_LENGTH,
    BPF_LDX_HEADER,
    BPF_STORE,
    BPF_STOREX,
    BPF_ADD,
    BPF_SUBTRACT,
    BPF_MULTIPLY,
    BPF_DIVIDE,
    BPF_OR,
    BPF_AND,
    BPF_SHIFT_LEFT,
    BPF_SHIFT_RIGHT,
    BPF_MODULO,
    BPF_XOR,
    BPF_ADD | BPF_X,
    BPF_SUBTRACT | BPF_X,
    BPF_MULTIPLY | BPF_X,
    BPF_DIVIDE | BPF_X,
    BPF_OR | BPF_X,
    BPF_AND | BPF_X,
    BPF_SHIFT_LEFT | BPF_X,
    BPF_SHIFT_RIGHT | BPF_X,
    BPF_MODULO | BPF_X,
    BPF_XOR | BPF_X,
    BPF_NEGATE,
    BPF_JUMP,
    BPF_IF_EQUAL,
    BPF_IF_GREATER,
    BPF_IF_NOT_LESS,
    BPF_IF_SET,
    BPF_IF_EQUAL | BPF_X,
    BPF_IF_GREATER | BPF_X,
    BPF_IF_NOT_LESS | BPF_X,
    BPF_IF_SET | BPF_X,
    BPF_RETURN,
    BPF_RETURN_A,
    BPF_A_TO_X,
    BPF_X_TO_A,
};

/* Numbers that something may depend on. */
static uint32_t random_value(void)
{
    static const uint32_t edges[] = { 0,          1,          2,          31,         32,
                                      33,         0x7f,       0x80,       0xff,       0x7ffffffe,
                                      0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff, 0xfffff030 };
    if (one_of(4))
        return edges[next_random() % ARRAY_COUNT(edges)];
    if (one_of(3))
        return next_random();
    return next_random() % 80;
}

static bool is_if(uint16_t operation)
{
    return operation == BPF_IF_EQUAL || operation == BPF_IF_GREATER ||
           operation == BPF_IF_NOT_LESS || operation == BPF_IF_SET;
}

/* Ahead, mostly not far. */
static uint32_t random_jump(size_t left)
{
    return next_random() % (one_of(2) ? left : MIN_OF(left, (size_t)3));
}

/* The i-th of count, such that the program can be verified. */
static struct bpf_instruction random_instruction(size_t i, size_t count, bool libpcap_knows)
{
    struct bpf_instruction made = { .code = codes[next_random() % ARRAY_COUNT(codes)],
                                    .k = random_value() };
    bool is_last = i + 1 == count;
    /* Not too many: a program should go on. */
    if (is_last || ((made.code == BPF_RETURN || made.code == BPF_RETURN_A) && !one_of(8)))
        made.code = is_last ? (one_of(2) ? BPF_RETURN : BPF_RETURN_A) : BPF_LD_BYTE;
    uint16_t operation = bpf_operation(made.code);
    switch (operation) {
    case BPF_LD_MEMORY:
    case BPF_LDX_MEMORY:
    case BPF_STORE:
    case BPF_STOREX:
        made.k %= BPF_WORDS;
        break;
    case BPF_DIVIDE:
    case BPF_MODULO:
        made.k |= made.k == 0;
        break;
    case BPF_SHIFT_LEFT:
    case BPF_SHIFT_RIGHT:
        if (libpcap_knows)
            made.k %= 32;
        break;
    case BPF_JUMP:
        made.k = random_jump(count - i - 1);
        break;
    }
    if (is_if(operation)) {
        made.jump_true = (uint8_t)random_jump(count - i - 1);
        made.jump_false = (uint8_t)random_jump(count - i - 1);
    }
    return made;
}

/* libpcap does not clear M[], so what it shall be asked about begins with storing the first A. */
static void make_random_program(struct program *program)
{
    size_t start = 0;
    program->libpcap_knows = !one_of(4);
    program->count = 1 + next_random() % 40;
    if (program->libpcap_knows) {
        start = WORD_STORES;
        program->count += WORD_STORES;
        for (uint32_t k = 0; k < WORD_STORES; k++)
            program->code[k] = (struct bpf_instruction){ BPF_STORE, 0, 0, k };
    }
    for (size_t i = start; i < program->count; i++)
        program->code[i] = random_instruction(i, program->count, program->libpcap_knows);
}

/* ---- Packets ----------------------------------------------------------------------------------
 */

enum { PACKET_MAX = 16384 };

/* Room whose last byte is the last before a page that nobody may touch. */
static uint8_t *packet_end(void)
{
    static uint8_t *end;
    if (!end)
        end = host_guarded_end(PACKET_MAX);
    return end;
}

/* Small numbers among the bytes, as in headers; shorter ones more often than not. */
static const uint8_t *random_packet(uint32_t *length)
{
    *length = next_random() % (one_of(4) ? 200 : 60);
    uint8_t *packet = packet_end() - *length;
    for (uint32_t i = 0; i < *length; i++)
        packet[i] = (uint8_t)(one_of(2) ? next_random() : next_random() % 6);
    return packet;
}

/* ---- Comparing --------------------------------------------------------------------------------
 */

struct compiled {
    struct code *plain, *guarded;
};

static struct compiled compile_both(const struct bpf_instruction *program, size_t count)
{
    EXPECT_EQUAL(bpf_verify(program, count), OK);
    struct compiled compiled = { bpf_compile(program, count, false),
                                 bpf_compile(program, count, true) };
    EXPECT(compiled.plain != NULL && compiled.guarded != NULL);
    return compiled;
}

static void free_both(struct compiled compiled)
{
    code_free(compiled.plain);
    code_free(compiled.guarded);
}

/* With anything in the upper halves of the registers that have the lengths, as the ABI allows. */
static uint32_t run_with_dirt(const struct code *code, const uint8_t *packet, uint32_t captured,
                              uint32_t wire)
{
    typedef uint32_t function(const uint8_t *packet, uint64_t captured, uint64_t wire);
    const uint64_t dirt = 0xdeadbeefull << 32;
    return ((function *)(uintptr_t)code->entry)(packet, captured | dirt, wire | dirt);
}

static void print_program(const struct bpf_instruction *program, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "%3zu  %#04x true +%u false +%u k %#x\n", i, program[i].code,
                program[i].jump_true, program[i].jump_false, program[i].k);
}

/* The one answer of all. */
static uint32_t expect_one_answer(const struct bpf_instruction *program, size_t count,
                                  struct compiled compiled, bool libpcap_knows,
                                  const uint8_t *packet, uint32_t captured, uint32_t wire)
{
    uint32_t answer = bpf_interpret(program, packet, captured, wire);
    uint32_t plain = bpf_run(compiled.plain, packet, captured, wire);
    uint32_t guarded = run_with_dirt(compiled.guarded, packet, captured, wire);
    uint32_t wanted = libpcap_knows ? oracle_filter(program, packet, captured, wire) : answer;
    if (answer != wanted || plain != wanted || guarded != wanted) {
        print_program(program, count);
        test_fail(__FILE__, __LINE__,
                  "of a packet of %u (%u) bytes: libpcap %u, interpreted %u, compiled %u, "
                  "guarded %u",
                  captured, wire, wanted, answer, plain, guarded);
    }
    return answer;
}

TEST(bpf_answers_as_libpcap_does_of_random_programs)
{
    enum { PACKETS = 64 };
    unsigned asked = 0;
    random_state = 1;
    for (unsigned done = 0; done < test_comparisons(); done += PACKETS) {
        struct program program;
        make_random_program(&program);
        struct compiled compiled = compile_both(program.code, program.count);
        for (unsigned i = 0; i < PACKETS; i++) {
            uint32_t captured;
            const uint8_t *packet = random_packet(&captured);
            uint32_t wire = one_of(2) ? captured : next_random();
            expect_one_answer(program.code, program.count, compiled, program.libpcap_knows, packet,
                              captured, wire);
        }
        asked += program.libpcap_knows;
        free_both(compiled);
    }
    EXPECT(asked > test_comparisons() / PACKETS / 2);
}

/* ---- Real filters and frames ------------------------------------------------------------------
 */

struct frames {
    uint8_t *file; /* as pcap_savefile(5) has it, from a machine like this one */
    size_t size, at;
};

static const char *data_folder(void)
{
    const char *folder = getenv("TSUJI_DATA");
    return folder ? folder : "../shared/data";
}

static void open_frames(struct frames *frames)
{
    enum { SIZE_MAX_BYTES = 4 << 20, FILE_HEADER_BYTES = 24 };
    char command[512];

    snprintf(command, sizeof(command), "%s/bpf/packets.pcap.gz", data_folder());
    if (access(command, R_OK) != 0)
        test_skip("no frames for filters: TSUJI_DATA names no folder with bpf/packets.pcap.gz");
    snprintf(command, sizeof(command), "zcat '%s/bpf/packets.pcap.gz'", data_folder());
    frames->file = malloc(SIZE_MAX_BYTES);
    EXPECT(frames->file != NULL);
    FILE *pipe = popen(command, "r");
    EXPECT(pipe != NULL);
    frames->size = fread(frames->file, 1, SIZE_MAX_BYTES, pipe);
    EXPECT(frames->size > FILE_HEADER_BYTES && frames->size < SIZE_MAX_BYTES);
    EXPECT_EQUAL(pclose(pipe), 0);
    EXPECT_EQUAL(load_le32(frames->file), 0xa1b2c3d4);
    frames->at = FILE_HEADER_BYTES;
}

/* To where the packet ends that memory ends at; false at the last one. */
static bool next_frame(struct frames *frames, uint32_t *captured, uint32_t *wire)
{
    enum { RECORD_HEADER_BYTES = 16, CAPTURED = 8, WIRE = 12 };
    if (frames->at == frames->size)
        return false;
    *captured = load_le32(frames->file + frames->at + CAPTURED);
    *wire = load_le32(frames->file + frames->at + WIRE);
    EXPECT(*captured <= PACKET_MAX);
    memcpy(packet_end() - *captured, frames->file + frames->at + RECORD_HEADER_BYTES, *captured);
    frames->at += RECORD_HEADER_BYTES + *captured;
    return true;
}

/* One line: the expression, a tab, the numbers of the frames that match, which ends the line. */
static void compare_verdicts(char *line, struct frames frames)
{
    static struct bpf_instruction programs[2][BPF_INSTRUCTIONS_MAX];
    size_t counts[2];
    struct compiled compiled[2];
    char *numbers = strchr(line, '\t');
    uint32_t captured, wire;

    EXPECT(numbers != NULL);
    *numbers++ = 0;
    for (unsigned i = 0; i < 2; i++) {
        counts[i] = oracle_compile(line, i == 1, programs[i]);
        EXPECT(counts[i] > 0);
        compiled[i] = compile_both(programs[i], counts[i]);
    }
    for (unsigned long number = 0; next_frame(&frames, &captured, &wire); number++) {
        char *end;
        bool wanted = strtoul(numbers, &end, 10) == number && end != numbers;
        numbers = wanted ? end : numbers;
        for (unsigned i = 0; i < 2; i++) {
            uint32_t answer = expect_one_answer(programs[i], counts[i], compiled[i], true,
                                                packet_end() - captured, captured, wire);
            if ((answer != 0) != wanted)
                test_fail(__FILE__, __LINE__, "frame %lu: \"%s\" answers %u", number, line, answer);
        }
    }
    EXPECT(numbers[strspn(numbers, " \n")] == 0);
    free_both(compiled[0]);
    free_both(compiled[1]);
}

TEST(bpf_gives_the_verdicts_of_tcpdump)
{
    enum { FILTERS_LEAST = 20, LINE_MAX_BYTES = 1 << 16 };
    static char line[LINE_MAX_BYTES];
    struct frames frames;
    unsigned filters = 0;
    char path[512];

    open_frames(&frames);
    snprintf(path, sizeof(path), "%s/bpf/golden.txt", data_folder());
    FILE *golden = fopen(path, "r");
    EXPECT(golden != NULL);
    for (; fgets(line, sizeof(line), golden); filters++)
        compare_verdicts(line, frames);
    EXPECT(filters >= FILTERS_LEAST);
    fclose(golden);
    free(frames.file);
}

/* Expressions beside those of the verdicts, for instructions that they do not use. */
static const char *const expressions[] = {
    "tcp port 443",
    "net 10.0.0.0/8 and not port 22",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and not src and dst net 10.0.0.0/8",
    "ip[0] & 0xf != 5 or (ip[2:2] - ((ip[0] & 0xf) << 2)) % 7 == 3",
    "ether[14:4] * 3 / ether[18:2] > 77 or len > 1000",
    "ip6 and ip6[6] == 6 and ip6[40:2] / ip6[41] > 3",
    "vlan 5 and mpls 16 and udp portrange 1000-2000",
    "ether multicast and not ether broadcast and -ip[8] < 4000000000",
    "ip host 192.0.2.1 or ip6 host 2001:db8::1 or arp host 192.0.2.1",
    "icmp[icmptype] == icmp-echo or icmp6[0] ^ 0x55 == 0xd5 or greater 1400",
};

/* A frame cut anywhere, or with a byte changed, or both; often at a place that headers have. */
static uint32_t mutate(uint32_t captured)
{
    uint8_t *end = packet_end();
    if (one_of(2) && captured > 0) {
        uint32_t at = next_random() % (one_of(2) ? captured : MIN_OF(captured, 60u));
        end[(int32_t)(at - captured)] = (uint8_t)(one_of(3) ? next_random() % 8 : next_random());
    }
    uint32_t cut = one_of(2) ? 0 : next_random() % (MIN_OF(captured, 80u) + 1);
    if (cut > 0)
        memmove(end - (captured - cut), end - captured, captured - cut);
    return captured - cut;
}

TEST(bpf_answers_as_libpcap_does_of_mutated_frames)
{
    static struct bpf_instruction program[BPF_INSTRUCTIONS_MAX];
    struct frames start;
    unsigned done = 0, per_program = test_comparisons() / (2 * ARRAY_COUNT(expressions));

    random_state = 2;
    open_frames(&start);
    for (unsigned i = 0; i < 2 * ARRAY_COUNT(expressions); i++) {
        size_t count = oracle_compile(expressions[i / 2], i % 2 == 1, program);
        if (count == 0)
            test_fail(__FILE__, __LINE__, "libpcap does not know \"%s\"", expressions[i / 2]);
        struct compiled compiled = compile_both(program, count);
        struct frames frames = start;
        for (unsigned k = 0; k < per_program; k++, done++) {
            uint32_t captured, wire;
            if (!next_frame(&frames, &captured, &wire)) {
                frames = start;
                continue;
            }
            captured = mutate(captured);
            expect_one_answer(program, count, compiled, true, packet_end() - captured, captured,
                              wire);
        }
        free_both(compiled);
    }
    EXPECT(done > 0);
    free(start.file);
}

/* ---- Single things ----------------------------------------------------------------------------
 */

static void expect_answer(const struct bpf_instruction *program, size_t count, uint32_t captured,
                          uint32_t wire, uint32_t wanted)
{
    struct compiled compiled = compile_both(program, count);
    uint8_t *packet = packet_end() - captured;
    for (uint32_t i = 0; i < captured; i++)
        packet[i] = (uint8_t)(i + 1);
    EXPECT_EQUAL(expect_one_answer(program, count, compiled, false, packet, captured, wire),
                 wanted);
    free_both(compiled);
}

TEST(bpf_starts_with_zeroes)
{
    for (uint32_t k = 0; k < BPF_WORDS; k++) {
        const struct bpf_instruction word[] = { { BPF_LD_MEMORY, 0, 0, k },
                                                { BPF_RETURN_A, 0, 0, 0 } };
        expect_answer(word, 2, 0, 0, 0);
    }
    const struct bpf_instruction a[] = { { BPF_RETURN_A, 0, 0, 0 } };
    const struct bpf_instruction x[] = { { BPF_X_TO_A, 0, 0, 0 }, { BPF_RETURN_A, 0, 0, 0 } };
    expect_answer(a, 1, 0, 77, 0);
    expect_answer(x, 2, 0, 77, 0);

    /* A word that was stored on one way and not on the other. */
    const struct bpf_instruction either[] = {
        { BPF_LD_LENGTH, 0, 0, 0 },  { BPF_IF_GREATER, 0, 1, 10 }, { BPF_STORE, 0, 0, 3 },
        { BPF_LDX_MEMORY, 0, 0, 3 }, { BPF_X_TO_A, 0, 0, 0 },      { BPF_RETURN_A, 0, 0, 0 },
    };
    expect_answer(either, ARRAY_COUNT(either), 0, 11, 11);
    expect_answer(either, ARRAY_COUNT(either), 0, 10, 0);
}

TEST(bpf_shifts_everything_out_by_32_and_more)
{
    for (uint32_t k = 0; k < 70; k++) {
        const struct bpf_instruction left[] = { { BPF_LD_VALUE, 0, 0, 0x80000001 },
                                                { BPF_SHIFT_LEFT, 0, 0, k },
                                                { BPF_RETURN_A, 0, 0, 0 } };
        const struct bpf_instruction right[] = { { BPF_LD_VALUE, 0, 0, 0x80000001 },
                                                 { BPF_LDX_VALUE, 0, 0, k },
                                                 { BPF_SHIFT_RIGHT | BPF_X, 0, 0, 0 },
                                                 { BPF_RETURN_A, 0, 0, 0 } };
        expect_answer(left, 3, 0, 0, k < 32 ? 0x80000001u << k : 0);
        expect_answer(right, 4, 0, 0, k < 32 ? 0x80000001u >> k : 0);
    }
}

/* The last byte that there is, and the first that is not, of each load. */
TEST(bpf_loads_end_where_the_packet_does)
{
    static const struct {
        uint16_t code;
        uint32_t size;
    } loads[] = {
        { BPF_LD_WORD, 4 },         { BPF_LD_HALF, 2 },         { BPF_LD_BYTE, 1 },
        { BPF_LD_WORD_INDEXED, 4 }, { BPF_LD_HALF_INDEXED, 2 }, { BPF_LD_BYTE_INDEXED, 1 },
        { BPF_LDX_HEADER, 1 },
    };
    static const uint32_t indices[] = { 0, 1, 5, 0x7fffffff, 0x80000000, 0xffffffff };
    for (unsigned i = 0; i < ARRAY_COUNT(loads); i++) {
        bool indexed = loads[i].code == BPF_LD_WORD_INDEXED ||
                       loads[i].code == BPF_LD_HALF_INDEXED || loads[i].code == BPF_LD_BYTE_INDEXED;
        for (uint32_t length = 0; length < 12; length++) {
            for (uint32_t at = 0; at < 14; at++) {
                for (unsigned n = 0; n < ARRAY_COUNT(indices); n++) {
                    const struct bpf_instruction program[] = {
                        { BPF_LDX_VALUE, 0, 0, indices[n] },
                        { loads[i].code, 0, 0, at - (indexed ? indices[n] : 0) },
                        { BPF_RETURN, 0, 0, 9 },
                    };
                    /* Offset and index add up to `at`, but for the carry that no packet has. */
                    bool carried = indexed && indices[n] > at;
                    bool inside = !carried && at + loads[i].size <= length;
                    expect_answer(program, 3, length, length, inside ? 9 : 0);
                }
            }
        }
    }
}

/* What is behind a jump is not on the way, however short the packet is for it. */
TEST(bpf_checks_no_length_for_what_is_jumped_over)
{
    const struct bpf_instruction jump[] = { { BPF_JUMP, 0, 0, 1 },
                                            { BPF_LD_WORD, 0, 0, 1000 },
                                            { BPF_RETURN, 0, 0, 7 } };
    const struct bpf_instruction either[] = {
        { BPF_LD_BYTE, 0, 0, 0 }, { BPF_IF_EQUAL, 1, 0, 1 }, { BPF_LD_WORD, 0, 0, 1000 },
        { BPF_LD_BYTE, 0, 0, 3 }, { BPF_RETURN_A, 0, 0, 0 },
    };
    expect_answer(jump, ARRAY_COUNT(jump), 0, 0, 7);
    expect_answer(either, ARRAY_COUNT(either), 4, 4, 4);
    expect_answer(either, ARRAY_COUNT(either), 3, 3, 0);
}

/* ---- Verifying --------------------------------------------------------------------------------
 */

TEST(bpf_refuses_what_could_not_be_run)
{
    static const struct bpf_instruction bad[] = {
        { BPF_STORE, 0, 0, 16 },
        { BPF_STOREX, 0, 0, 16 },
        { BPF_LD_MEMORY, 0, 0, 16 },
        { BPF_LDX_MEMORY, 0, 0, 0xffffffff },
        { BPF_DIVIDE, 0, 0, 0 },
        { BPF_MODULO, 0, 0, 0 },
        { BPF_JUMP, 0, 0, 1 },
        { BPF_JUMP, 0, 0, 0xffffffff },
        { BPF_IF_EQUAL, 0, 1, 0 },
        { BPF_IF_SET | BPF_X, 1, 0, 0 },
        { BPF_NEGATE | BPF_X, 0, 0, 0 },
        { BPF_JUMP | BPF_X, 0, 0, 0 },
        { 0x18, 0, 0, 0 },
        { 0x0e, 0, 0, 0 },
        { 0x8004, 0, 0, 0 },
        { 0x1e, 0, 0, 0 },
    };
    struct bpf_instruction program[2] = { [1] = { BPF_RETURN, 0, 0, 1 } };
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        program[0] = bad[i];
        if (bpf_verify(program, 2) != ERROR_MALFORMED)
            test_fail(__FILE__, __LINE__, "code %#x, k %u is let through", bad[i].code, bad[i].k);
    }
    program[0] = (struct bpf_instruction){ BPF_IF_EQUAL, 0, 0, 0 };
    EXPECT_EQUAL(bpf_verify(program, 2), OK);
    EXPECT_EQUAL(bpf_verify(program, 1), ERROR_MALFORMED); /* ends with a jump */
    EXPECT_EQUAL(bpf_verify(program, 0), ERROR_MALFORMED);
}

/* The longest program there may be, with jumps as far as they can be. */
TEST(bpf_takes_as_many_instructions_as_it_says)
{
    static struct bpf_instruction program[BPF_INSTRUCTIONS_MAX + 1];
    for (unsigned i = 0; i < BPF_INSTRUCTIONS_MAX; i++)
        program[i] = (struct bpf_instruction){ BPF_IF_EQUAL, 0, 0, i };
    program[0] = (struct bpf_instruction){ BPF_JUMP, 0, 0, BPF_INSTRUCTIONS_MAX - 2 };
    program[BPF_INSTRUCTIONS_MAX - 1] = (struct bpf_instruction){ BPF_RETURN, 0, 0, 5 };
    expect_answer(program, BPF_INSTRUCTIONS_MAX, 0, 0, 5);
    for (unsigned i = 0; i + 1 < BPF_INSTRUCTIONS_MAX; i++) {
        unsigned left = MIN_OF(BPF_INSTRUCTIONS_MAX - 2 - i, 255u);
        program[i] = (struct bpf_instruction){ BPF_LD_WORD_INDEXED, 0, 0, i };
        if (i % 2 == 1)
            program[i] = (struct bpf_instruction){ BPF_IF_EQUAL, (uint8_t)left, 0, i };
    }
    expect_answer(program, BPF_INSTRUCTIONS_MAX, PACKET_MAX, 0, 5);
    program[BPF_INSTRUCTIONS_MAX] = (struct bpf_instruction){ BPF_RETURN, 0, 0, 5 };
    EXPECT_EQUAL(bpf_verify(program, BPF_INSTRUCTIONS_MAX + 1), ERROR_FULL);
}

/* Of instructions that exist, with jumps ahead, libpcap's opinion is ours; and what we let through
 * of anything at all it lets through, too. */
TEST(bpf_verifies_as_libpcap_does)
{
    random_state = 3;
    for (unsigned i = 0; i < 200000; i++) {
        struct bpf_instruction program[4];
        size_t count = 1 + next_random() % ARRAY_COUNT(program);
        bool exist = one_of(2);
        for (size_t k = 0; k < count; k++) {
            program[k] = (struct bpf_instruction){
                .code = exist ? codes[next_random() % ARRAY_COUNT(codes)]
                              : (uint16_t)(next_random() % (one_of(2) ? 0x100 : 0x10000)),
                .jump_true = (uint8_t)(next_random() % 4),
                .jump_false = (uint8_t)(next_random() % 4),
                .k = next_random() % 20,
            };
        }
        if (!one_of(4))
            program[count - 1].code = BPF_RETURN;
        bool ours = bpf_verify(program, count) == OK;
        bool theirs = oracle_validate(program, count);
        if (exist ? ours != theirs : ours && !theirs) {
            print_program(program, count);
            test_fail(__FILE__, __LINE__, "libpcap says %d, we say %d", theirs, ours);
        }
    }
}

/* ---- The code ---------------------------------------------------------------------------------
 */

/* Every byte belongs to an instruction; it reads the packet by rdi and the words below rsp, writes
 * only those, jumps only forward and inside, calls nothing. */
static void expect_harmless(const struct code *code)
{
    ZydisDecoder decoder;
    EXPECT(
        ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)));
    for (size_t at = 0; at < code->size_bytes;) {
        ZydisDecodedInstruction instruction;
        ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
        EXPECT(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, (const uint8_t *)code->entry + at,
                                                   code->size_bytes - at, &instruction, operands)));
        EXPECT(instruction.meta.category != ZYDIS_CATEGORY_CALL);
        at += instruction.length;
        for (unsigned i = 0; i < instruction.operand_count_visible; i++) {
            const ZydisDecodedOperand *operand = &operands[i];
            if (operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operand->imm.is_relative) {
                EXPECT(operand->imm.value.s >= 0);
                EXPECT((uint64_t)operand->imm.value.s < code->size_bytes - at);
            }
            if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY ||
                operand->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
                continue;
            bool is_word = operand->mem.base == ZYDIS_REGISTER_RSP;
            EXPECT(is_word || operand->mem.base == ZYDIS_REGISTER_RDI);
            EXPECT(is_word || !(operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE));
            if (is_word) {
                EXPECT(operand->mem.index == ZYDIS_REGISTER_NONE);
                EXPECT(operand->mem.disp.value >= -4 * BPF_WORDS && operand->mem.disp.value < 0);
            }
        }
    }
}

TEST(bpf_code_is_harmless_to_the_eye_of_a_disassembler)
{
    random_state = 4;
    for (unsigned i = 0; i < 5000; i++) {
        struct program program;
        make_random_program(&program);
        struct compiled compiled = compile_both(program.code, program.count);
        expect_harmless(compiled.plain);
        expect_harmless(compiled.guarded);
        free_both(compiled);
    }
}

TEST(bpf_compiles_nothing_without_memory)
{
    const struct bpf_instruction program[] = { { BPF_LD_HALF, 0, 0, 12 },
                                               { BPF_RETURN_A, 0, 0, 0 } };
    struct code *code = NULL;
    uint64_t failures = 0;
    for (; !code; failures++) {
        host_fail_allocation(failures);
        code = bpf_compile(program, ARRAY_COUNT(program), true);
    }
    EXPECT_EQUAL(failures - 1, 2); /* what is known of the program; the code */
    code_free(code);
}
