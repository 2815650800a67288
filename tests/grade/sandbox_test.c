/*
 * sandbox_test.c - attacks from a grader's source and from its calls, in each tier of sandbox that this host offers.
 */
#include "base/file.h"
#include "grade_support.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* The tier under test; 0 before the first. */
static int tier;
static const char *interpreter; /* NULL: the system's */
static char socket_path[108], abstract_name[64], secret_file[128];

static struct grade_options in_this_tier(void)
{
    struct grade_options opt = grade_defaults();

    opt.n_workers = 1;
    opt.cache_bytes = 0;
    opt.memory_bytes = (size_t)400 << 20;
    opt.timeout_s = 30;
    opt.sandbox_tier = tier;
    opt.python = interpreter;
    return opt;
}

static bool offered(void)
{
    const struct grade_options opt = in_this_tier();
    struct error err = {0};
    char text[256];

    if (grade_sandbox_describe(&opt, text, sizeof text, &err)) {
        char prefix[4] = {'T', (char)('0' + tier), '\0'};

        assert_ptr_equal(strstr(text, prefix), text);
        return true;
    }
    print_message("tier %d is not to be had here: %s\n", tier, err.message);
    return false;
}

static struct grader *open_source(const char *source)
{
    const struct grade_options opt = in_this_tier();

    return grader_of(python_spec(source), &opt);
}

/* A grader of tests/grade/name, with constants in front. */
static struct grader *open_file(const char *name, const char *constants)
{
    struct arena a = {0};
    struct error err = {0};
    struct str text;

    ASSERT_OK(file_read(arena_printf(&a, "%s/grade/%s", TEST_DIR, name), 1 << 20, &a, &text, &err));
    struct grader *g = open_source(arena_printf(&a, "%s" STR_FMT, constants, STR_ARG(text)));
    arena_release(&a);
    return g;
}

static void no_attack_gets_through(void **state)
{
    (void)state;
    char constants[512], number[12];

    if (!offered())
        skip();
    snprintf(constants, sizeof constants,
             "SECRET_FILE, SOCKET_PATH, ABSTRACT_NAME, PROGRAM = '%s', '%s', '%s', %d\n",
             secret_file, socket_path, abstract_name, (int)getpid());
    struct grader *g = open_file("attacks.py", constants);
    struct grade_result r = grade_text(g, "{}", "list");
    const int n = (int)r.reward;

    assert_true(n >= 20);
    r = grade_text(g, "{}", "loaded");
    assert_string_equal(r.details, "");
    for (int i = 0; i < n; i++) {
        snprintf(number, sizeof number, "%d", i);
        r = grade_text(g, "{}", number);
        if (r.flags != 0)
            fail_msg("attack %d: %s", i, r.details);
    }
    grader_close(g);
}

/* ---- from one sample to the next ---- */

static void a_sample_leaves_nothing_for_the_next(void **state)
{
    (void)state;
    if (!offered())
        skip();
    struct grader *g =
        open_file("leftovers.py", tier == 3 ? "WRITABLE = False\n" : "WRITABLE = True\n");
    char printed[GRADE_PRINTED_BYTES];
    json_t *item = json_of("{'a':'WN-AWAYING-LOVE-THRO'}");
    const struct grade_sample sample = {.output_text = STR("WN-AWAYING-LOVE-THRO"),
                                        .printed = printed,
                                        .printed_size = sizeof printed};
    struct grade_result r;

    grader_run(g, item, &sample, &r);
    json_decref(item);
    /* it came back through the worker or past it, and is gone from it */
    ASSERT_SAYS(r, "WN-AWAYING-LOVE-THRO");
    assert_string_equal(printed, "WN-AWAYING-LOVE-THRO\nWN-AWAYING-LOVE-THRO\n");
    r = grade_text(g, "{}", "look");
    assert_string_equal(r.details, "");
    assert_true(r.reward == 1);
    grader_close(g);
}

static void the_search_of_memory_does_find(void **state)
{
    (void)state;
    if (!offered() || tier != 1)
        skip();
    /* the same search where the text is there to be found: in the source's own memory */
    struct grader *g = open_source(
        "import ctypes, re\n"
        "text = ''.join(reversed('ORHT-EVOL-GNIYAWA-NW'))\n"
        "def grade(sample, item):\n"
        "    for line in open('/proc/self/maps'):\n"
        "        m = re.match('([0-9a-f]+)-([0-9a-f]+) rw', line)\n"
        "        if m and '[v' not in line:\n"
        "            start, end = int(m[1], 16), int(m[2], 16)\n"
        "            if b'WN-AWAYING' + b'-LOVE' in ctypes.string_at(start, end - start):\n"
        "                return 1\n"
        "    return 0\n");

    assert_true(grade_text(g, "{}", "look").reward == 1);
    grader_close(g);
}

/* ---- packages ---- */

/* The tests' own environment, where scripts/venv has made it with numbers' packages; else NULL. */
static const char *environment(void)
{
    static const char python[] = SOURCE_DIR "/.venv/bin/python3";
    struct grade_options opt = in_this_tier();
    struct error err;
    struct grader *g = NULL;
    json_t *spec = python_spec("import numpy, rapidfuzz\ndef grade(s, i): return 1");

    opt.python = python;
    opt.memory_bytes = (size_t)2 << 30;
    const bool ok = access(python, X_OK) == 0 && grader_open(spec, &opt, &g, &err);
    grader_close(g);
    json_decref(spec);
    if (!ok)
        print_message("no numpy and rapidfuzz in .venv (scripts/venv test)\n");
    return ok ? python : NULL;
}

static void no_attack_gets_through_from_an_environment(void **state)
{
    (void)state;
    if (!offered() || environment() == NULL)
        skip();
    interpreter = environment();
    no_attack_gets_through(state);
    a_sample_leaves_nothing_for_the_next(state);
    interpreter = NULL;
}

static void packages_of_numbers_work_inside(void **state)
{
    (void)state;
    struct grade_options opt = in_this_tier();

    if (!offered() || environment() == NULL)
        skip();
    opt.python = environment();
    opt.memory_bytes = (size_t)2 << 30;
    struct grader *g = grader_of(
        python_spec(
            "import numpy as np, rapidfuzz.fuzz, threading\n"
            "def grade(sample, item):\n"
            "    a = np.arange(40000.0).reshape(200, 200) / 40000\n"
            "    x = np.linalg.solve(a @ a.T + np.eye(200), np.ones(200))\n"
            "    assert np.allclose((a @ a.T + np.eye(200)) @ x, 1)\n"
            "    assert np.linalg.svd(a)[1][0] > 1 and threading.active_count() == 1\n"
            "    return np.float32(rapidfuzz.fuzz.ratio(sample['output_text'], 'abcd')) + np.random.rand()\n"),
        &opt);
    const struct grade_result r = grade_text(g, "{}", "abce");

    assert_string_equal(r.details, "");
    assert_true(r.reward > 75 && r.reward < 76);
    for (int i = 0; i < 3; i++) /* numpy's random numbers are the same for each call, too */
        assert_true(grade_text(g, "{}", "abce").reward == r.reward);
    grader_close(g);
}

/* ---- one call ---- */

/* Processes of this name, which only ours have. */
static int count_named(const char *name)
{
    DIR *dir = opendir("/proc");
    int n = 0;

    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[300], comm[32] = "", state = '?';
        FILE *f;

        snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || (f = fopen(path, "r")) == NULL)
            continue;
        if (fscanf(f, "%*d (%31[^)]) %c", comm, &state) == 2)
            n += strcmp(comm, name) == 0 && state != 'Z';
        fclose(f);
    }
    closedir(dir);
    return n;
}

static void wait_until_gone(const char *name)
{
    for (int i = 0; i < 500 && count_named(name) > 0; i++)
        usleep(10000);
    assert_int_equal(count_named(name), 0);
}

/*
 * Grades "bad", which is flagged and says so, and then "good", which is 1; then a worker and the child that waits for its
 * call are all that runs, and when the grader is closed nothing is.
 */
static void contained_for(double timeout_s, const char *body, const char *says)
{
    struct grade_options opt = in_this_tier();
    char source[2048], name[16];

    opt.timeout_s = timeout_s;
    snprintf(name, sizeof name, "hc%d-%d", (int)getpid() % 100000, tier);
    snprintf(source, sizeof source,
             "import ctypes, mmap, os, struct, sys, time\n"
             "ctypes.CDLL(None).prctl(15, b'%s', 0, 0, 0)\n"
             "def bad():\n"
             "%s\n"
             "def grade(sample, item):\n"
             "    return bad() if sample['output_text'] == 'bad' else 1.0\n",
             name, body);
    struct grader *g = grader_of(python_spec(source), &opt);
    struct grade_result r = grade_text(g, "{}", "bad");

    assert_true(r.reward == 0);
    assert_int_equal(r.flags, GRADE_PYTHON_RUNTIME_ERROR);
    ASSERT_SAYS(r, says);
    r = grade_text(g, "{}", "good");
    assert_string_equal(r.details, "");
    assert_true(r.reward == 1);
    assert_true(count_named(name) <= 2);
    grader_close(g);
    wait_until_gone(name);
}

static void contained(const char *body, const char *says)
{
    contained_for(30, body, says);
}

static void memory_without_end_is_refused(void **state)
{
    (void)state;
    if (!offered())
        skip();
    contained("    x = bytearray(401 << 20)", "MemoryError");
    contained("    x = []\n    while True: x.append(bytearray(1 << 20))", "MemoryError");
    contained("    return float(len(mmap.mmap(-1, 401 << 20)))", "Cannot allocate memory");
}

static void time_without_end_is_not_given(void **state)
{
    (void)state;
    if (!offered())
        skip();
    contained_for(1, "    while True: pass", "still running after 1 s");
    contained_for(1, "    time.sleep(1000)", "still running after 1 s");
    contained_for(1, "    while True: print('x' * 1000)", "still running after 1 s");
    contained_for(1, "    while True: sys.stderr.write('x' * 1000)", "still running after 1 s");
    contained_for(
        1,
        "    import threading\n"
        "    for i in range(4): threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()\n"
        "    time.sleep(1000)",
        "still running after 1 s");
}

static void a_reply_without_end_is_cut_off(void **state)
{
    (void)state;
    if (!offered())
        skip();
    contained("    while True:\n"
              "        for fd in range(64):\n"
              "            try: os.write(fd, b'R' + struct.pack('<d', 1.0))\n"
              "            except OSError: pass\n",
              "wrote more than a reward");
}

/* What a call gives back is looked at in its own process, and nothing but a double leaves it. */
static void a_hostile_object_is_no_reward(void **state)
{
    (void)state;
    if (!offered())
        skip();
    contained("    class X:\n"
              "        def __reduce__(self): return os._exit, (0,)\n"
              "    return X()",
              "returned X, not a number");
    contained("    class X:\n"
              "        def __float__(self): return 1.0\n"
              "    return X()",
              "returned X, not a number");
    contained("    class X(float):\n"
              "        def __float__(self): return 'one'\n"
              "    return X(1)",
              "TypeError");
    contained("    class X:\n"
              "        __class__ = float\n"
              "        def __float__(self): return float('nan')\n"
              "    return X()",
              "which is no reward");
    contained("    class X:\n"
              "        __class__ = property(lambda self: os._exit(0))\n"
              "    return X()",
              "gave no reward");
    contained("    class X:\n"
              "        def __repr__(self): raise ValueError('unseen')\n"
              "    return X()",
              "unseen");
    contained("    class X:\n"
              "        def __repr__(self): return 'x' * (500 << 20)\n"
              "    return X()",
              "MemoryError");
    contained("    class X:\n"
              "        ndim = 0\n"
              "        def item(self): return self\n"
              "    return X()",
              "returned X, not a number");
    contained("    class M(type):\n"
              "        __name__ = property(lambda self: 1 / 0)\n"
              "    class E(Exception, metaclass=M): pass\n"
              "    raise E()",
              "");
    contained_for(1,
                  "    class X:\n"
                  "        def __repr__(self):\n"
                  "            while True: pass\n"
                  "    return X()",
                  "still running after 1 s");
    /* it dies when the reward is made already, and tries to send another one first */
    contained("    class X(float):\n"
              "        def __del__(self):\n"
              "            for fd in range(64):\n"
              "                try: os.write(fd, b'R' + struct.pack('<d', 9.0))\n"
              "                except OSError: pass\n"
              "    return X(0.5)",
              "wrote something else than a reward");
    contained("    class X(float):\n"
              "        def __del__(self): os._exit(0)\n"
              "    return X(0.5)",
              "gave no reward");
}

static void tmp_has_a_limit(void **state)
{
    (void)state;
    if (!offered() || tier == 3)
        skip();
    contained("    for i in range(1000):\n"
              "        open('/tmp/%d' % i, 'wb').write(bytes(1 << 20))\n",
              "No space left on device");
    contained("    with open('/tmp/x', 'wb') as f:\n"
              "        for i in range(1000): f.write(bytes(1 << 20))\n",
              "File too large");
    contained("    i = 0\n"
              "    while True:\n"
              "        os.close(os.open('/tmp/%d' % i, os.O_CREAT))\n"
              "        i += 1\n",
              "more files than it may");
    contained("    d = '/tmp'\n"
              "    for i in range(1500):\n"
              "        os.mkdir('d')\n"
              "        os.chdir('d')\n"
              "    raise ValueError('deep')\n",
              "deep");
}

static void other_machine_languages_end_the_call(void **state)
{
    (void)state;
    if (!offered())
        skip();
#ifdef __x86_64__
    /* mov eax, 20; int 0x80; ret: a system call of 32-bit programs */
    contained("    m = mmap.mmap(-1, 4096, prot=7)\n"
              "    m.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))\n"
              "    at = ctypes.addressof(ctypes.c_char.from_buffer(m))\n"
              "    return float(ctypes.CFUNCTYPE(ctypes.c_int)(at)())",
              "ended by signal");
    contained("    return float(ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 | 39)))",
              "ended by signal");
#endif
}

/* ---- what stays behind ---- */

static void a_daemon_does_not_outlive_the_grader(void **state)
{
    (void)state;
    char source[1024], name[16];

    if (!offered())
        skip();
    snprintf(name, sizeof name, "hd%d-%d", (int)getpid() % 100000, tier);
    snprintf(
        source, sizeof source,
        "import ctypes, os, signal, time\n"
        "ctypes.CDLL(None).prctl(15, b'%s', 0, 0, 0)\n"
        "for i in range(20):\n"
        "    if os.fork() == 0:\n"
        "        for f in [os.setsid, os.fork, lambda: signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))]:\n"
        "            try: f()\n"
        "            except OSError: pass\n"
        "        time.sleep(1000)\n"
        "        os._exit(0)\n"
        "def grade(sample, item):\n"
        "    return 1.0\n",
        name);
    struct grader *g = open_source(source);
    const struct grade_result r = grade_text(g, "{}", "");

    assert_string_equal(r.details, "");
    assert_true(count_named(name) >= 20);
    grader_close(g);
    wait_until_gone(name);
}

static void a_fork_bomb_is_bounded_and_removed(void **state)
{
    (void)state;
    char source[1024], name[16];
    const struct grade_options opt = in_this_tier();
    struct error err = {0};
    struct grader *g = NULL;

    if (!offered())
        skip();
    snprintf(name, sizeof name, "hb%d-%d", (int)getpid() % 100000, tier);
    snprintf(source, sizeof source,
             "import ctypes, os, time\n"
             "ctypes.CDLL(None).prctl(15, b'%s', 0, 0, 0)\n"
             "parent = os.getpid()\n"
             "end = time.time() + 1\n"
             "while time.time() < end:\n"
             "    try: os.fork()\n"
             "    except OSError: pass\n"
             "if os.getpid() != parent:\n"
             "    time.sleep(1000)\n"
             "def grade(sample, item):\n"
             "    return 1.0\n",
             name);
    json_t *spec = python_spec(source);
    if (grader_open(spec, &opt, &g,
                    &err)) /* it may even work; the bomb's processes are what counts */
        assert_true(count_named(name) <= 70);
    json_decref(spec);
    grader_close(g);
    wait_until_gone(name);
}

static void a_grader_ends_with_the_program(void **state)
{
    (void)state;
    char source[512], name[16];

    if (!offered())
        skip();
    snprintf(name, sizeof name, "he%d-%d", (int)getpid() % 100000, tier);
    snprintf(source, sizeof source,
             "import ctypes\n"
             "ctypes.CDLL(None).prctl(15, b'%s', 0, 0, 0)\n"
             "def grade(sample, item):\n"
             "    while True: pass\n",
             name);
    const pid_t program = fork();
    if (program == 0) { /* a program that is killed while its grader loops */
        struct grader *g = open_source(source);

        grade_text(g, "{}", "");
        _exit(1);
    }
    for (int i = 0; i < 3000 && count_named(name) < 2; i++)
        usleep(10000);
    assert_true(count_named(name) >= 2); /* the worker and its child */
    kill(program, SIGKILL);
    waitpid(program, NULL, 0);
    wait_until_gone(name);
}

/* ---- this program's own secrets, and a user of its own ---- */

static int listener(int family_name_len, const struct sockaddr_un *address)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)address, (socklen_t)family_name_len), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

static struct arena arena;
static char *folder;
static int listeners[2];

static int set_up(void **state)
{
    (void)state;
    struct sockaddr_un path = {.sun_family = AF_UNIX}, abstract = {.sun_family = AF_UNIX};
    FILE *f;

    setenv("HONE_TEST_SECRET", "squeamish ossifrage", 1);
    folder = test_dir_make(&arena);
    snprintf(secret_file, sizeof secret_file, "%s/secret", folder);
    f = fopen(secret_file, "w");
    fputs("squeamish ossifrage", f);
    fclose(f);
    snprintf(socket_path, sizeof socket_path, "%s/socket", folder);
    memcpy(path.sun_path, socket_path, sizeof path.sun_path);
    listeners[0] = listener((int)sizeof path, &path);
    snprintf(abstract_name, sizeof abstract_name, "hone-test-%d", (int)getpid());
    memcpy(abstract.sun_path + 1, abstract_name, strlen(abstract_name));
    listeners[1] =
        listener((int)(sizeof abstract.sun_family + 1 + strlen(abstract_name)), &abstract);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(listeners[0]);
    close(listeners[1]);
    test_dir_remove(folder);
    arena_release(&arena);
    return 0;
}

static void a_tier_that_does_not_exist_is_refused(void **state)
{
    (void)state;
    struct grade_options opt = grade_defaults();
    struct error err;
    struct grader *g = NULL;
    json_t *spec = python_spec("def grade(s, i): return 1");

    opt.sandbox_tier = 9;
    ASSERT_FAILS(grader_open(spec, &opt, &g, &err), ERR_UNSUPPORTED, "Python graders are refused");
    json_decref(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_attack_gets_through),
        cmocka_unit_test(a_sample_leaves_nothing_for_the_next),
        cmocka_unit_test(the_search_of_memory_does_find),
        cmocka_unit_test(no_attack_gets_through_from_an_environment),
        cmocka_unit_test(packages_of_numbers_work_inside),
        cmocka_unit_test(memory_without_end_is_refused),
        cmocka_unit_test(time_without_end_is_not_given),
        cmocka_unit_test(a_reply_without_end_is_cut_off),
        cmocka_unit_test(a_hostile_object_is_no_reward),
        cmocka_unit_test(tmp_has_a_limit),
        cmocka_unit_test(other_machine_languages_end_the_call),
        cmocka_unit_test(a_daemon_does_not_outlive_the_grader),
        cmocka_unit_test(a_fork_bomb_is_bounded_and_removed),
        cmocka_unit_test(a_grader_ends_with_the_program),
    };
    const struct CMUnitTest once[] = {
        cmocka_unit_test(a_tier_that_does_not_exist_is_refused),
    };
    int failed = cmocka_run_group_tests(once, NULL, NULL);

    for (tier = 1; tier <= 3; tier++) {
        print_message("tier %d\n", tier);
        failed += cmocka_run_group_tests(tests, set_up, tear_down);
    }
    return failed;
}

/*
 * Every attack and the tests that show it contained, flagged, and forgotten by the next call; those of sandbox_test run in
 * each tier that the host offers, and those marked * with an environment's interpreter, too.
 *
 *   read /etc/shadow and other files        * no_attack_gets_through: reads_files, lists_folders
 *   read the environment                    * no_attack_gets_through: sees_the_environment
 *   read another sample's data              * a_sample_leaves_nothing_for_the_next (the_search_of_memory_does_find),
 *                                             python_test: what_one_call_does_to_its_output_does_not_reach_the_next
 *   read or change the parent's memory      * no_attack_gets_through: reads_its_parents_memory, changes_its_parent
 *   write outside tmp, fill tmp             * no_attack_gets_through: writes_outside_tmp, writes_kernel_settings,
 *                                             changes_files_by_name; tmp_has_a_limit
 *   open a socket                           * no_attack_gets_through: makes_sockets, reaches_unix_sockets
 *   fork bomb                                 a_fork_bomb_is_bounded_and_removed; no_attack_gets_through: forks *
 *   memory bomb                               memory_without_end_is_refused; has_memory_without_limit *
 *   endless loop, sleep past the limit        time_without_end_is_not_given
 *   endless output: stdout, stderr            time_without_end_is_not_given, and with a listener
 *                                             python_test: output_without_end_is_stopped_with_the_call
 *   endless output: the reply                 a_reply_without_end_is_cut_off,
 *                                             python_test: nothing_written_to_any_descriptor_becomes_a_reward
 *   kill the parent, or anyone              * no_attack_gets_through: signals_anyone, signals_the_program,
 *                                             signals_by_a_descriptor
 *   leave a daemon behind                     a_daemon_does_not_outlive_the_grader, a_grader_ends_with_the_program;
 *                                             every contained() counts processes
 *   crafted JSON: depth, numbers, NaN,        python_test: json_that_is_none_never_reaches_a_grader,
 *   duplicate keys, surrogates, pickles       an_answer_cannot_change_the_row_beside_it,
 *                                             deep_rows_and_huge_numbers_are_contained
 *   hostile objects: __reduce__, __float__,   a_hostile_object_is_no_reward
 *   __repr__, __class__, __del__
 *   return NaN, inf, text, a huge integer,    python_test: what_is_no_number_is_no_reward
 *   nothing
 *   other machine languages, the kernel       other_machine_languages_end_the_call; no_attack_gets_through:
 *                                             asks_the_kernel, gains_privileges *
 */
