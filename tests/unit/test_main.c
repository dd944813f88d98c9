/* Runs the tests: `unit [WORD]` runs those whose name or file contains the word.
 *
 * A test is a child process with its output in a file, which is shown when it fails. Why it failed
 * or was skipped comes back through memory that both share. Two run at a time. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"

enum {
    RUNNING_MAX = 2,
    TIMEOUT_S = 60,
    SOAK_TIMEOUT_S = 600,
    COMPARISONS = 1000000,
    TEXT_BYTES = 1024,
    REASON_BYTES = 512, /* of a skip, with room for more words */
    PANIC_OUTPUT_BYTES = 4096,
    EXIT_FAILED = 1,
    EXIT_SKIPPED = 77,
    EXIT_NO_PANIC = 78,
};

enum outcome { PASSED, FAILED, SKIPPED, OUTCOME_COUNT };

/* A test that runs. */
struct running {
    const struct test *test; /* NULL: nobody has this place */
    pid_t child;
    FILE *output;
    char *reason; /* TEXT_BYTES, shared between the runner and the test */
};

static struct test *tests;
static char *reason; /* of this test */

void test_register(struct test *test)
{
    struct test **link = &tests;
    while (*link != NULL && strcmp((*link)->file, test->file) <= 0)
        link = &(*link)->next;
    test->next = *link;
    *link = test;
}

/* ---- In the test ------------------------------------------------------------------------------
 */

void test_fail(const char *file, int line, const char *format, ...)
{
    int used = snprintf(reason, TEXT_BYTES, "%s:%d: ", file, line);
    va_list args;
    va_start(args, format);
    vsnprintf(reason + used, (size_t)(TEXT_BYTES - used), format, args);
    va_end(args);
    fflush(NULL);
    _exit(EXIT_FAILED);
}

void test_skip(const char *why)
{
    snprintf(reason, REASON_BYTES, "%s", why);
    fflush(NULL);
    _exit(EXIT_SKIPPED);
}

unsigned test_comparisons(void)
{
    const char *wanted = getenv("TSUJI_COMPARISONS");

    return wanted ? (unsigned)strtoul(wanted, NULL, 10) : COMPARISONS;
}

void test_expect_text(const char *file, int line, const char *actual, const char *expected)
{
    if (strcmp(actual, expected) != 0)
        test_fail(file, line, "the text is\n\"%s\", expected\n\"%s\"", actual, expected);
}

void test_panic_missed(void)
{
    _exit(EXIT_NO_PANIC);
}

bool test_panic_begins(const char *file, int line, const char *words)
{
    FILE *output = tmpfile();
    pid_t child = output != NULL ? fork() : -1;
    if (child < 0)
        test_fail(file, line, "no child process for a panic");
    if (child == 0) {
        dup2(fileno(output), STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        return true;
    }
    int status;
    waitpid(child, &status, 0);

    char text[PANIC_OUTPUT_BYTES];
    rewind(output);
    text[fread(text, 1, sizeof(text) - 1, output)] = '\0';
    fclose(output);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NO_PANIC)
        test_fail(file, line, "no panic, expected: %s", words);
    if (strstr(text, words) == NULL)
        test_fail(file, line, "it ended with\n%s, expected a panic: %s", text, words);
    return false;
}

static unsigned timeout_s(void)
{
    return getenv("SOAK") ? SOAK_TIMEOUT_S : TIMEOUT_S;
}

_Noreturn static void run_child(const struct test *test, FILE *output)
{
    setpgid(0, 0);
    dup2(fileno(output), STDOUT_FILENO);
    dup2(fileno(output), STDERR_FILENO);
    alarm(timeout_s());
    test->run();
    fflush(NULL);
    uint64_t leaked = host_memory_report();
    if (leaked > 0)
        test_fail(test->file, 0, "%llu allocations are left", (unsigned long long)leaked);
    exit(EXIT_SUCCESS); /* and LeakSanitizer looks for the rest */
}

/* ---- In the runner ----------------------------------------------------------------------------
 */

/* A test that quietly stops being run is a failure. */
static bool may_skip(const char *why)
{
    char line[TEXT_BYTES];
    bool listed = false;
    FILE *list = fopen("tests/skips.txt", "r");
    if (list == NULL)
        return false;
    while (!listed && fgets(line, sizeof(line), list) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        listed = strcmp(line, why) == 0;
    }
    fclose(list);
    return listed;
}

static enum outcome judge(int status, char *why)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
        return PASSED;
    bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED;
    if (skipped && may_skip(why))
        return SKIPPED;
    if (skipped)
        strcat(why, " (skipped, but not for a reason in tests/skips.txt)");
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(why, TEXT_BYTES, "not finished after %u s", timeout_s());
    else if (WIFSIGNALED(status))
        snprintf(why, TEXT_BYTES, "%s", strsignal(WTERMSIG(status)));
    else if (why[0] == '\0')
        snprintf(why, TEXT_BYTES, "exit status %d", WEXITSTATUS(status));
    return FAILED;
}

static void show(FILE *output)
{
    char buffer[4096];
    size_t length;
    rewind(output);
    while ((length = fread(buffer, 1, sizeof(buffer), output)) > 0)
        fwrite(buffer, 1, length, stdout);
}

static void start(struct running *running, const struct test *test)
{
    running->test = test;
    running->output = tmpfile();
    if (running->output == NULL) {
        perror("tmpfile");
        exit(EXIT_FAILURE);
    }
    running->reason[0] = '\0';
    fflush(NULL);
    running->child = fork();
    if (running->child < 0) {
        perror("fork");
        exit(EXIT_FAILURE);
    }
    if (running->child == 0) {
        reason = running->reason;
        run_child(test, running->output);
    }
}

static enum outcome finish(struct running *running, int status)
{
    kill(-running->child, SIGKILL); /* what the test itself may have started */
    enum outcome outcome = judge(status, running->reason);
    switch (outcome) {
    case PASSED:
        printf("ok %s\n", running->test->name);
        break;
    case SKIPPED:
        printf("skip %s: %s\n", running->test->name, running->reason);
        break;
    default:
        printf("FAIL %s %s\n", running->test->name, running->reason);
        show(running->output);
        break;
    }
    fflush(stdout);
    fclose(running->output);
    running->test = NULL;
    return outcome;
}

/* The place of a child that has ended. */
static struct running *wait_for_one(struct running *running, int *status)
{
    pid_t child = waitpid(-1, status, 0);
    for (unsigned i = 0; i < RUNNING_MAX; i++)
        if (running[i].test != NULL && running[i].child == child)
            return &running[i];
    perror("waitpid");
    exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    unsigned counts[OUTCOME_COUNT] = { 0 };
    struct running running[RUNNING_MAX] = { 0 };
    unsigned running_count = 0;
    int status;

    char *shared = mmap(NULL, RUNNING_MAX * TEXT_BYTES, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        return EXIT_FAILURE;
    }
    for (unsigned i = 0; i < RUNNING_MAX; i++)
        running[i].reason = shared + i * TEXT_BYTES;
    for (const struct test *test = tests; test != NULL; test = test->next) {
        if (strstr(test->name, word) == NULL && strstr(test->file, word) == NULL)
            continue;
        struct running *place = &running[running_count];
        if (running_count == RUNNING_MAX) {
            place = wait_for_one(running, &status);
            counts[finish(place, status)]++;
        } else {
            running_count++;
        }
        start(place, test);
    }
    for (; running_count > 0; running_count--) {
        struct running *place = wait_for_one(running, &status);
        counts[finish(place, status)]++;
    }
    printf("%u passed, %u failed, %u skipped\n", counts[PASSED], counts[FAILED], counts[SKIPPED]);
    return counts[FAILED] > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
