/*
 * python_test.c - the Python grader gives rewards, flags what goes wrong, and is as good as new for the next sample.
 */
#include "base/clock.h"
#include "grade_support.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nothing is taken from the cache: each call is one. */
static struct grade_options no_cache(void)
{
    struct grade_options opt = grade_defaults();

    opt.cache_bytes = 0;
    return opt;
}

static struct grader *open_source(const char *source)
{
    const struct grade_options opt = no_cache();

    return grader_of(python_spec(source), &opt);
}

/* One worker, so that the next call meets what the last one left behind; little memory, so that it is soon full. */
static struct grade_options one_worker(double timeout_s)
{
    struct grade_options opt = no_cache();

    opt.n_workers = 1;
    opt.memory_bytes = (size_t)400 << 20;
    opt.timeout_s = timeout_s;
    return opt;
}

/*
 * A grader that misbehaves where the text is "bad". Grades "bad" (which must be flagged, and say so) and then "good",
 * which must be worth 1 whatever "bad" did.
 */
static void misbehave(const char *bad, double timeout_s, unsigned flag, const char *says)
{
    const struct grade_options opt = one_worker(timeout_s);
    char source[4096];

    snprintf(source, sizeof source,
             "import os, sys, time, signal, threading, ctypes, gc\n"
             "def bad(item):\n"
             "%s\n"
             "def grade(sample, item):\n"
             "    if sample['output_text'] == 'bad':\n"
             "        return bad(item)\n"
             "    return 1.0\n",
             bad);
    struct grader *g = grader_of(python_spec(source), &opt);
    struct grade_result r = grade_text(g, "{}", "bad");

    assert_true(r.reward == 0);
    if (r.flags != flag)
        fail_msg("flags %x, expected %x: %s", r.flags, flag, r.details);
    ASSERT_SAYS(r, says);
    r = grade_text(g, "{}", "good");
    if (r.flags != 0)
        fail_msg("the next sample: %s", r.details);
    assert_true(r.reward == 1);
    grader_close(g);
}

static void fails_saying(const char *bad, const char *says)
{
    misbehave(bad, 60, GRADE_PYTHON_RUNTIME_ERROR, says);
}

/* ---- what works ---- */

static void a_reward_comes_back_to_the_last_bit(void **state)
{
    (void)state;
    struct grader *g = open_source("def grade(sample, item):\n    return item['x'] / 3");
    const struct grade_result r = grade_text(g, "{'x':1}", "");

    assert_true(r.reward == 1.0 / 3 && r.flags == 0 && r.n_parts == 1 && r.part[0] == r.reward);
    assert_true(r.seconds > 0 && r.part_seconds[0] > 0);
    assert_true(grade_text(g, "{'x':-6}", "").reward == -2);
    grader_close(g);
}

static void every_kind_of_number_is_a_reward(void **state)
{
    (void)state;
    struct grader *g = open_source(
        "from fractions import Fraction\n"
        "class Array0:\n"
        "    ndim = 0\n"
        "    def item(self): return True\n"
        "def grade(sample, item):\n"
        "    return {'int': 2, 'bool': True, 'false': False, 'fraction': Fraction(1, 4), 'numpy': Array0(),\n"
        "            'small': 5e-324, 'large': -1.5e308}[sample['output_text']]");

    assert_true(grade_text(g, "{}", "int").reward == 2);
    assert_true(grade_text(g, "{}", "bool").reward == 1);
    assert_true(grade_text(g, "{}", "false").reward == 0);
    assert_true(grade_text(g, "{}", "fraction").reward == 0.25);
    assert_true(grade_text(g, "{}", "numpy").reward == 1);
    assert_true(grade_text(g, "{}", "small").reward == 5e-324);
    assert_true(grade_text(g, "{}", "large").reward == -1.5e308);
    grader_close(g);
}

static void the_sample_has_the_fields_of_the_api(void **state)
{
    (void)state;
    struct grader *g = open_source(
        "def grade(sample, item):\n"
        "    assert sorted(sample) == ['choices', 'output_audio', 'output_json', 'output_text', 'output_tools']\n"
        "    assert sample['output_text'] == 'h\\u00e9\\u6f22\\U0001f600\\x00\"\\\\', ascii(sample)\n"
        "    assert sample['output_json'] == {'a': [1, 2.5, None, True]}\n"
        "    assert sample['output_tools'][0]['function']['name'] == 'f'\n"
        "    assert sample['choices'][0]['message']['content'] == sample['output_text']\n"
        "    assert sample['choices'][0]['finish_reason'] == 'tool_calls'\n"
        "    assert item == {'k': {'\\u00e9': [9007199254740993, -0.1]}}, ascii(item)\n"
        "    return 1");
    json_t *json = json_of("{'a':[1,2.5,null,true]}"),
           *tools = json_of("[{'function':{'name':'f'}}]");
    json_t *item = json_of("{'k':{'\xc3\xa9':[9007199254740993,-0.1]}}");
    const struct grade_sample sample = {.output_text =
                                            STR("h\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x98\x80\0\"\\"),
                                        .output_json = json,
                                        .output_tools = tools};
    struct grade_result r;

    grader_run(g, item, &sample, &r);
    assert_string_equal(r.details, "");
    assert_true(r.reward == 1);
    json_decref(json);
    json_decref(tools);
    json_decref(item);
    grader_close(g);
}

static void an_answer_that_is_not_utf8_still_is_graded(void **state)
{
    (void)state;
    struct grader *g =
        open_source("def grade(sample, item):\n    return sample['output_text'] == 'a\\ufffdb'");

    assert_true(grade_text(g, "{}",
                           "a\xff"
                           "b")
                    .reward == 1);
    grader_close(g);
}

static void a_large_row_arrives_whole(void **state)
{
    (void)state;
    struct grader *g = open_source(
        "def grade(sample, item):\n    return len(item['text']) + len(sample['output_text'])");
    const size_t n = (size_t)5 << 20;
    char *text = malloc(n + 1);
    json_t *item = json_object();
    struct grade_result r;

    memset(text, 'x', n);
    text[n] = '\0';
    json_object_set_new(item, "text", json_string(text));
    const struct grade_sample sample = {.output_text = {text, n}};
    grader_run(g, item, &sample, &r);
    assert_string_equal(r.details, "");
    assert_true(r.reward == 2.0 * (double)n);
    json_decref(item);
    free(text);
    grader_close(g);
}

static void helpers_imports_and_constants_are_made_once(void **state)
{
    (void)state;
    /* the source runs once; what a call changes is gone with it */
    struct grader *g = open_source("import json, re, math, collections, statistics, dataclasses\n"
                                   "COUNT = [0]\n"
                                   "@dataclasses.dataclass\n"
                                   "class P:\n"
                                   "    x: int = 3\n"
                                   "def helper():\n"
                                   "    COUNT[0] += 1\n"
                                   "    return COUNT[0]\n"
                                   "def grade(sample, item):\n"
                                   "    return helper() + P().x\n");

    for (int i = 0; i < 5; i++)
        assert_true(grade_text(g, "{}", "").reward == 4);
    grader_close(g);
}

static void the_same_answer_gets_the_same_reward(void **state)
{
    (void)state;
    const char *source = "import random\n"
                         "def grade(sample, item):\n"
                         "    return random.random() + hash(sample['output_text']) % 1000\n";
    double first = 0;

    for (int i = 0; i < 3; i++) {
        struct grader *g = open_source(source);
        const double reward = grade_text(g, "{}", "abc").reward;

        assert_true(grade_text(g, "{}", "abc").reward == reward);
        assert_true(i == 0 || reward == first);
        first = reward;
        grader_close(g);
    }
}

static void a_source_may_start_threads_and_processes_of_its_own(void **state)
{
    (void)state;
    struct grade_options opt = no_cache();

    opt.n_workers = 1;
    struct grader *g = grader_of(
        python_spec("import os, signal, subprocess, threading, time\n"
                    "def spin():\n    while True: time.sleep(0.001)\n"
                    "threading.Thread(target=spin, daemon=True).start()\n"
                    "subprocess.run(['/usr/bin/true'], check=True)\n"
                    "P = [subprocess.Popen(['/usr/bin/sleep', '0.2']) for i in range(3)]\n"
                    "def grade(sample, item):\n"
                    "    assert threading.active_count() == 1\n"
                    "    return 1.0\n"),
        &opt);
    const double start = clock_seconds();

    for (int i = 0; i < 50; i++) {
        const struct grade_result r = grade_text(g, "{}", "");

        assert_string_equal(r.details, "");
        assert_true(r.reward == 1);
        usleep(10000);
    }
    assert_true(clock_seconds() - start < 4); /* no call waits for a tick */
    grader_close(g);
}

static void what_a_function_imports_is_there_before_it_is_called(void **state)
{
    (void)state;
    struct grader *g = open_source("import sys\n"
                                   "def before():\n    return 'colorsys' in sys.modules\n"
                                   "def grade(sample, item):\n"
                                   "    was = before()\n"
                                   "    if item.get('never'):\n        import no_such_module\n"
                                   "    from colorsys import rgb_to_hsv\n"
                                   "    return was\n");

    assert_true(grade_text(g, "{}", "").reward == 1);
    const struct grade_result r = grade_text(g, "{'never':1}", "");
    ASSERT_SAYS(r, "No module named 'no_such_module'");
    grader_close(g);
}

static void threads_inside_a_grader_work(void **state)
{
    (void)state;
    struct grader *g = open_source("from concurrent.futures import ThreadPoolExecutor\n"
                                   "def grade(sample, item):\n"
                                   "    with ThreadPoolExecutor(4) as pool:\n"
                                   "        return sum(pool.map(lambda x: x * x, range(5)))\n");
    const struct grade_result r = grade_text(g, "{}", "");

    assert_string_equal(r.details, "");
    assert_true(r.reward == 30);
    grader_close(g);
}

static void a_multi_of_python_graders_keeps_them_apart(void **state)
{
    (void)state;
    struct grader *g = grader_of(
        json_of(
            "{'type':'multi','graders':{"
            "'a':{'type':'python','source':'X = 1\\ndef grade(sample, item):\\n    return X'},"
            "'b':{'type':'python','source':'X = 2\\ndef grade(sample, item):\\n    return X / item[0]'},"
            "'c':{'type':'string_check','input':'x','reference':'x','operation':'eq'}},"
            "'calculate_output':'a + 10 * b + 100 * c'}"),
        NULL);
    json_t *item = json_of("[1]");
    const struct grade_sample sample = {.output_text = STR("")};
    struct grade_result r;

    grader_run(g, item, &sample, &r);
    assert_true(r.reward == 121 && r.flags == 0);
    r = grade_text(g, "{}", "");
    assert_true(r.reward == 0 && r.part[0] == 1 && r.part[1] == 0 && r.part[2] == 1);
    assert_int_equal(r.part_flags[1], GRADE_PYTHON_RUNTIME_ERROR);
    assert_true(strncmp(r.details, "b: ", 3) == 0);
    ASSERT_SAYS(r, "grader-2.py");
    json_decref(item);
    grader_close(g);
}

/* ---- what goes wrong, and the next sample ---- */

static void an_exception_is_told_with_its_traceback(void **state)
{
    (void)state;
    fails_saying("    return item['gone']", "KeyError: 'gone'");
    fails_saying("    x = 1\n    return x / 0", "return x / 0");
    fails_saying("    x = 1\n    return x / 0", "ZeroDivisionError");
    fails_saying("    raise ValueError('h\\u00e9\\ud800' + 'x' * 5000)", "ValueError: h\xc3\xa9");
    fails_saying("    class E(Exception):\n        def __str__(self): raise self\n    raise E()",
                 "E");
    fails_saying("    class E(BaseException): pass\n    raise E('base')", "base");
    fails_saying("    raise KeyboardInterrupt", "KeyboardInterrupt");
}

static void what_is_no_number_is_no_reward(void **state)
{
    (void)state;
    fails_saying("    return float('nan')", "returned nan, which is no reward");
    fails_saying("    return float('-inf')", "returned -inf, which is no reward");
    fails_saying("    return 10 ** 400", "integer too large");
    fails_saying("    return '1.0'", "returned str, not a number: '1.0'");
    fails_saying("    return None", "returned NoneType, not a number");
    fails_saying("    return [1.0]", "returned list, not a number: [1.0]");
    fails_saying("    return 1j", "returned complex");
    fails_saying(
        "    class F(float):\n        def __float__(self): raise ValueError('f')\n    return F(1)",
        "ValueError: f");
}

static void leaving_the_process_is_an_error(void **state)
{
    (void)state;
    fails_saying("    sys.exit(0)", "SystemExit: 0");
    fails_saying("    os._exit(0)", "ended its own process (exit status 0)");
    fails_saying("    os._exit(3)", "ended its own process (exit status 3)");
    fails_saying("    os.abort()", "ended by signal");
    fails_saying("    ctypes.string_at(0)", "ended by signal 11 (SIGSEGV)");
}

static void a_recursion_without_end_is_an_error(void **state)
{
    (void)state;
    fails_saying("    return bad(item)", "RecursionError");
    misbehave("    sys.setrecursionlimit(10 ** 9)\n    f = lambda: f()\n    return f()", 3,
              GRADE_PYTHON_RUNTIME_ERROR, "");
    misbehave("    x = []\n    for i in range(10 ** 6): x = [x]\n    return x", 3,
              GRADE_PYTHON_RUNTIME_ERROR, "");
}

static void memory_without_end_is_an_error(void **state)
{
    (void)state;
    fails_saying("    x = bytearray(401 << 20)\n    return 1", "MemoryError");
    fails_saying("    x = []\n    while True: x.append(bytearray(1 << 20))", "MemoryError");
    fails_saying("    x = []\n    while True: x.append([x] * 1000)", "MemoryError");
    fails_saying("    x = 'a' * (250 << 20)\n    raise ValueError(x + x)", "MemoryError");
}

static void a_call_that_lasts_too_long_is_stopped(void **state)
{
    (void)state;
    const double start = clock_seconds();

    misbehave("    while True: pass", 1, GRADE_PYTHON_RUNTIME_ERROR, "still running after 1 s");
    misbehave("    time.sleep(1000)", 1, GRADE_PYTHON_RUNTIME_ERROR, "still running after 1 s");
    misbehave("    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n    while True: pass", 1,
              GRADE_PYTHON_RUNTIME_ERROR, "still running after 1 s");
    misbehave("    os.closerange(0, 1000)\n    while True: pass", 1, GRADE_PYTHON_RUNTIME_ERROR,
              "still running");
    misbehave("    return eval('9**9**9**9')", 1, GRADE_PYTHON_RUNTIME_ERROR,
              "still running after 1 s");
    assert_true(clock_seconds() - start < 60);
}

static void output_that_nobody_wants_goes_nowhere(void **state)
{
    (void)state;
    const struct grade_options opt = one_worker(20);
    struct grader *g = grader_of(python_spec("import os, sys\n"
                                             "print('at the start')\n"
                                             "def grade(sample, item):\n"
                                             "    for i in range(2000):\n"
                                             "        print('x' * 100000)\n"
                                             "    sys.stderr.write('y' * 10000000)\n"
                                             "    os.write(1, b'z' * 1000000)\n"
                                             "    os.write(2, b'z' * 1000000)\n"
                                             "    return 0.5\n"),
                                 &opt);
    const struct grade_result r = grade_text(g, "{}", "");

    assert_string_equal(r.details, "");
    assert_true(r.reward == 0.5);
    grader_close(g);
}

/* Writes bytes to every descriptor there may be, and goes on with then. */
static void writes_everywhere(const char *bytes, const char *then, const char *says)
{
    char bad[1024];

    snprintf(bad, sizeof bad,
             "    import struct\n"
             "    for fd in range(64):\n"
             "        try: os.write(fd, %s)\n"
             "        except OSError: pass\n"
             "    %s",
             bytes, then);
    fails_saying(bad, says);
}

static void nothing_written_to_any_descriptor_becomes_a_reward(void **state)
{
    (void)state;
    writes_everywhere("b'R' + struct.pack('<d', 1.0)", "return 0.0",
                      "wrote something else than a reward");
    writes_everywhere("b'R' + struct.pack('<d', float('nan'))", "os._exit(0)",
                      "wrote something else than a reward");
    writes_everywhere("b'\\xff' * 100", "return 0.0", "wrote something else than a reward");
    writes_everywhere("b'E\\xff\\xfe{\"reward\": 1}'", "os._exit(0)", "{\"reward\": 1}");
    writes_everywhere("b'x' * 60000", "return 0.0", "wrote more than a reward");
    writes_everywhere("b'x' * 60000", "time.sleep(1000)", "wrote more than a reward");
}

static void closed_descriptors_and_handlers_do_not_reach_the_next_sample(void **state)
{
    (void)state;
    fails_saying("    os.closerange(0, 1000)\n    return 1.0", "gave no reward");
    fails_saying("    for s in range(1, 65):\n"
                 "        try: signal.signal(s, lambda *a: None)\n"
                 "        except (OSError, ValueError): pass\n"
                 "    raise ValueError('handled')",
                 "handled");
    fails_saying("    import builtins, json\n"
                 "    json.loads = builtins.len = builtins.isinstance = None\n"
                 "    sys.modules.clear()\n"
                 "    raise ValueError('mine')",
                 "");
    fails_saying(
        "    os.chmod('/tmp', 0)\n    os.utime('/tmp', (5, 5))\n    raise ValueError('mine')",
        "mine");
}

static void a_thread_that_stays_does_not_hold_the_answer(void **state)
{
    (void)state;
    const struct grade_options opt = one_worker(20);
    struct grader *g =
        grader_of(python_spec("import threading, time\n"
                              "def grade(sample, item):\n"
                              "    threading.Thread(target=time.sleep, args=(1000,)).start()\n"
                              "    return 0.5\n"),
                  &opt);
    const double start = clock_seconds();

    for (int i = 0; i < 3; i++)
        assert_true(grade_text(g, "{}", "").reward == 0.5);
    assert_true(clock_seconds() - start < 15);
    grader_close(g);
}

/* ---- what is printed ---- */

#define FFFD "\xef\xbf\xbd"

/* As grade_text, and keeps what is printed: it must be what is expected. */
static struct grade_result grade_heard(struct grader *g, const char *item, const char *text,
                                       const char *expected)
{
    char printed[GRADE_PRINTED_BYTES];
    json_t *row = json_of(item);
    const struct grade_sample sample = {
        .output_text = str_of(text), .printed = printed, .printed_size = sizeof printed};
    struct grade_result r;

    memset(printed, 'x', sizeof printed);
    grader_run(g, row, &sample, &r);
    json_decref(row);
    assert_string_equal(printed, expected);
    return r;
}

/* The source's grade() prints this, whatever becomes of it. */
static void prints(const char *body, double timeout_s, const char *expected, const char *says)
{
    const struct grade_options opt = one_worker(timeout_s);
    char source[2048];

    snprintf(source, sizeof source,
             "import ctypes, os, sys, struct, time\nprint('while loading')\n"
             "sys.stdout.write('and no line end')\ndef grade(sample, item):\n"
             "    if sample['output_text'] == 'next': return 1.0\n%s",
             body);
    struct grader *g = grader_of(python_spec(source), &opt);
    const struct grade_result r = grade_heard(g, "{}", "", expected);

    ASSERT_SAYS(r, says);
    assert_true(r.flags == 0 ? r.reward == 0.5 : r.reward == 0);
    assert_true((r.flags == 0) == (says[0] == '\0'));
    assert_true(grade_heard(g, "{}", "next", "").reward == 1);
    assert_true(grade_text(g, "{}", "").reward == r.reward); /* the same without a listener */
    grader_close(g);
}

static void what_a_call_prints_is_kept_apart_from_its_reward(void **state)
{
    (void)state;
    prints("    return 0.5", 60, "", "");
    prints(
        "    print('a', 1)\n    print('b', file=sys.stderr)\n    print('c', end='')\n    return 0.5",
        60, "a 1\nb\nc\n", "");
    prints("    os.write(1, b'R' + struct.pack('<d', 2.0))\n    return 0.5", 60,
           "R" FFFD FFFD FFFD FFFD FFFD FFFD FFFD "@\n", "");
    prints("    print('{\"reward\": 1.0}')\n    return 0.5", 60, "{\"reward\": 1.0}\n", "");
    prints("    ctypes.CDLL(None).dprintf(2, b'from C\\n')\n    return 0.5", 60, "from C\n", "");
}

static void what_was_printed_before_a_failure_is_kept(void **state)
{
    (void)state;
    prints("    print('before')\n    raise ValueError('mine')", 60, "before\n", "mine");
    prints("    print('before')\n    os._exit(3)", 60, "before\n", "exit status 3");
    prints("    print('before')\n    ctypes.string_at(0)", 60, "before\n", "SIGSEGV");
    prints("    print('before')\n    while True: pass", 1, "before\n", "still running");
    prints("    print('before')\n    return float('nan')", 60, "before\n", "no reward");
}

static void what_is_printed_is_text_whatever_it_was(void **state)
{
    (void)state;
    prints("    print('h\\u00e9 \\U0001f600')\n    return 0.5", 60, "h\xc3\xa9 \xf0\x9f\x98\x80\n",
           "");
    prints("    print('\\ud800')\n    return 0.5", 60, "\\ud800\n", "");
    prints("    os.write(1, b'a\\xffb\\0c\\xe2\\x82')\n    return 0.5", 60,
           "a\xef\xbf\xbd"
           "b\xef\xbf\xbd"
           "c\xef\xbf\xbd\xef\xbf\xbd\n",
           "");
}

static void long_output_is_cut_and_counted(void **state)
{
    (void)state;
    char expected[GRADE_PRINTED_BYTES];

    memset(expected, 'x', 4096);
    snprintf(expected + 4096, sizeof expected - 4096, "\n... (995904 bytes more)\n");
    prints("    os.write(1, b'x' * 1000000)\n    return 0.5", 60, expected, "");
    /* not inside a character: of the 1,366th only its first byte is kept */
    for (size_t i = 0; i < 1365; i++)
        memcpy(expected + 3 * i, "\xe2\x82\xac", 3);
    snprintf(expected + 4095, sizeof expected - 4095, "\n... (25905 bytes more)\n");
    prints("    os.write(1, '\\u20ac'.encode() * 10000)\n    return 0.5", 60, expected, "");
    memset(expected, 'y', 4095);
    snprintf(expected + 4095, sizeof expected - 4095, "\n\n");
    expected[4096] = '\0';
    prints("    print('y' * 4095)\n    return 0.5", 60, expected, "");
}

static void output_without_end_is_stopped_with_the_call(void **state)
{
    (void)state;
    const struct grade_options opt = one_worker(1);
    static const char *const floods[] = {
        "print('x' * 1000)",
        "print('x', file=sys.stderr)",
        "os.write(1, b'x' * 100000)",
        "os.write(2, b'')",
        "sys.stdout.buffer.write(bytes(1 << 20))",
    };

    for (size_t i = 0; i < sizeof floods / sizeof *floods; i++) {
        char source[512], printed[GRADE_PRINTED_BYTES];

        snprintf(source, sizeof source,
                 "import os, sys\ndef grade(sample, item):\n"
                 "    while sample['output_text'] == 'bad':\n        %s\n    return 1.0",
                 floods[i]);
        struct grader *g = grader_of(python_spec(source), &opt);
        const struct grade_sample sample = {
            .output_text = STR("bad"), .printed = printed, .printed_size = sizeof printed};
        struct grade_result r;
        const double start = clock_seconds();

        grader_run(g, NULL, &sample, &r);
        assert_int_equal(r.flags, GRADE_PYTHON_RUNTIME_ERROR);
        ASSERT_SAYS(r, "still running after 1 s");
        assert_true(clock_seconds() - start < 20 && strlen(printed) < sizeof printed);
        assert_true(grade_heard(g, "{}", "good", "").reward == 1);
        grader_close(g);
    }
}

static void what_one_call_does_to_its_output_does_not_reach_the_next(void **state)
{
    (void)state;
    const struct grade_options opt = one_worker(60);
    struct grader *g = grader_of(
        python_spec(
            "import fcntl, os, sys\n"
            "def grade(sample, item):\n"
            "    if sample['output_text'] == 'bad':\n"
            "        sys.stdout.write('not ended')\n"
            "        for fd in (1, 2):\n"
            "            fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK | os.O_DIRECT)\n"
            "            try: fcntl.fcntl(fd, 1031, 4096)\n"
            "            except OSError: pass\n"
            "        fcntl.fcntl(0, fcntl.F_SETFL, os.O_APPEND)\n"
            "        for f in (lambda: os.utime(1, (7, 7)), lambda: os.fchmod(1, 0o642)):\n"
            "            try: f()\n" /* the pipe is the program's, which may be root */
            "            except OSError: pass\n"
            "        os.closerange(0, 100)\n"
            "        return 1.0\n"
            "    assert fcntl.fcntl(1, fcntl.F_GETFL) == os.O_WRONLY, fcntl.fcntl(1, fcntl.F_GETFL)\n"
            "    assert fcntl.fcntl(1, 1032) == 65536\n"
            "    assert not fcntl.fcntl(0, fcntl.F_GETFL) & os.O_APPEND\n"
            "    assert os.fstat(1).st_mtime != 7 and os.fstat(1).st_mode == 0o10600, os.fstat(1)\n"
            "    for fd in range(3, 64):\n" /* the pipe is there as 1 and 2 alone */
            "        try: assert os.fstat(fd).st_ino != os.fstat(1).st_ino\n"
            "        except OSError: pass\n"
            "    print('mine')\n"
            "    return 1.0\n"),
        &opt);

    for (int i = 0; i < 3; i++) {
        struct grade_result r = grade_heard(g, "{}", "bad", "");

        ASSERT_SAYS(r, "gave no reward");
        r = grade_heard(g, "{}", "good", "mine\n");
        assert_string_equal(r.details, "");
        assert_true(r.reward == 1);
    }
    grader_close(g);
}

static void the_parts_of_a_multi_print_below_their_names(void **state)
{
    (void)state;
    struct grade_options opt = no_cache();
    struct grader *g = grader_of(
        json_of(
            "{'type':'multi','graders':{"
            "'a':{'type':'python','source':'def grade(s, i):\\n    print(1)\\n    return 1'},"
            "'b':{'type':'python','source':'def grade(s, i):\\n    return 1'},"
            "'x':{'type':'string_check','input':'x','reference':'x','operation':'eq'},"
            "'c':{'type':'python','source':'def grade(s, i):\\n    print(2, end=str())\\n    return i[0]'}},"
            "'calculate_output':'a + b + c + x'}"),
        &opt);

    assert_true(grade_heard(g, "{}", "", "a:\n1\nc:\n2\n").reward == 0);
    grader_close(g);
    /* little room is shared, and what does not fit is counted */
    g = grader_of(
        json_of(
            "{'type':'multi','graders':{"
            "'a':{'type':'python','source':'def grade(s, i):\\n    print(9 * str(12345678))\\n    return 1'},"
            "'b':{'type':'python','source':'def grade(s, i):\\n    print(str(1) * 999)\\n    return 1'}},"
            "'calculate_output':'a + b'}"),
        &opt);
    char printed[300];
    const struct grade_sample sample = {
        .output_text = STR(""), .printed = printed, .printed_size = sizeof printed};
    struct grade_result r;
    grader_run(g, NULL, &sample, &r);
    assert_true(r.reward == 2);
    assert_ptr_equal(strstr(printed, "a:\n12345678"), printed);
    assert_non_null(strstr(printed, "12345678\nb:\n1111"));
    assert_non_null(strstr(printed, "\n... ("));
    grader_close(g);
}

/* ---- crafted JSON ---- */

static void json_that_is_none_never_reaches_a_grader(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"x\": NaN}",
        "{\"x\": Infinity}",
        "{\"x\": 1e999}",
        "{\"x\": \"\\ud800\"}",
        "{\"x\": 1, \"x\": 2}",
        "{\"x\": 123456789012345678901234567890}",
        "{\"x\": \"\xed\xa0\x80\"}",
        "{\"x\": 01}",
    };
    struct error err;
    json_t *row = NULL;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_false(json_parse(str_of(rows[i]), "a row", &row, &err));
        assert_non_null(strstr(err.message, "a row"));
    }
    char *deep = malloc(200001);
    memset(deep, '[', 100000);
    memset(deep + 100000, ']', 100000);
    deep[200000] = '\0';
    assert_false(json_parse(str_of(deep), "a row", &row, &err));
    free(deep);
}

static void an_answer_cannot_change_the_row_beside_it(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "\"},\"item\":{\"a\":2}}",
        "\\\"},\"item\":{\"a\":2}}",
        "\\u0022},\"item\":{\"a\":2}}",
        "\xff\"},\"item\":{\"a\":2}}",
        "\xed\xa0\x80\xed\xb0\x80",
        "{\"__class__\": \"os.system\", \"py/object\": \"os.system\", \"$ref\": \"#\"}",
        "cposix\nsystem\n(S'true'\ntR.", /* a pickle */
        "!!python/object/apply:os.system ['true']",
        "R\x01\x01\x01\x01\x01\x01\x01\x01",
    };
    struct grader *g = open_source(
        "def grade(sample, item):\n"
        "    assert item == {'a': 1}, item\n"
        "    assert type(sample['output_text']) is str\n"
        "    plain = {'__class__': 'os.system', 'py/object': 'os.system', '$ref': '#'}\n"
        "    assert sample['output_json'] == (plain if sample['output_text'][0] == '{' else None)\n"
        "    sample['output_text'].encode()\n"
        "    return 1.0\n");

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const struct grade_result r = grade_text(g, "{'a':1}", answers[i]);

        assert_string_equal(r.details, "");
        assert_true(r.reward == 1);
    }
    grader_close(g);
}

static void deep_rows_and_huge_numbers_are_contained(void **state)
{
    (void)state;
    struct grader *g = open_source(
        "def grade(sample, item):\n"
        "    return float(int(sample['output_text'])) if sample['output_text'] else 1.0\n");
    json_t *item = json_array();
    const struct grade_sample sample = {.output_text = STR("")};
    struct grade_result r;
    char digits[6001];

    for (int i = 0; i < 1900; i++)
        item = json_pack("[o]", item);
    grader_run(g, item, &sample, &r);
    json_decref(item);
    assert_int_equal(r.flags, GRADE_PYTHON_RUNTIME_ERROR);
    ASSERT_SAYS(r, "RecursionError");
    memset(digits, '9', 6000);
    digits[6000] = '\0';
    r = grade_text(g, "{}", digits); /* Python's own limit, against quadratic time */
    ASSERT_SAYS(r, "ValueError: Exceeds the limit");
    digits[400] = '\0';
    r = grade_text(g, "{}", digits);
    ASSERT_SAYS(r, "OverflowError");
    assert_true(grade_text(g, "{'x':1e308,'y':-5e-324,'z':9223372036854775807}", "").reward == 1);
    grader_close(g);
}

/* ---- the worker ---- */

/* Processes of the sandbox: children of this one, and theirs in other namespaces, by their command. */
static int count_workers(pid_t *one)
{
    DIR *dir = opendir("/proc");
    int n = 0;

    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[300], stat[512];
        FILE *f;
        int parent;

        snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || (f = fopen(path, "r")) == NULL)
            continue;
        const size_t k = fread(stat, 1, sizeof stat - 1, f);
        stat[k] = '\0';
        fclose(f);
        const char *close = strrchr(stat, ')');
        // NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers
        if (close == NULL || sscanf(close + 1, " %*c %d", &parent) != 1 || parent != (int)getpid())
            continue;
        *one = (pid_t)strtol(stat, NULL, 10);
        n++;
    }
    closedir(dir);
    return n;
}

static void a_worker_that_was_killed_is_replaced(void **state)
{
    (void)state;
    const struct grade_options opt = one_worker(20);
    struct grader *g = grader_of(python_spec("def grade(sample, item):\n    return 0.5"), &opt);
    pid_t worker = 0;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(count_workers(&worker), 1);
        kill(worker, SIGKILL);
        const struct grade_result r = grade_text(g, "{}", "");
        assert_string_equal(r.details, "");
        assert_true(r.reward == 0.5);
    }
    grader_close(g);
    assert_int_equal(count_workers(&worker), 0);
}

static void a_worker_that_dies_twice_in_a_call_is_a_server_error(void **state)
{
    (void)state;
    const struct grade_options opt = one_worker(20);
    /* the source, which runs outside of any call, takes the loop's fork away once it is started */
    struct grader *g = grader_of(python_spec("import os, sys\n"
                                             "def trace(frame, event, arg):\n"
                                             "    if frame.f_code.co_name == 'clean':\n"
                                             "        os._exit(9)\n"
                                             "def grade(sample, item):\n"
                                             "    return 1.0\n"
                                             "sys.setprofile(trace)\n"),
                                 &opt);
    const struct grade_result r = grade_text(g, "{}", "");

    assert_true(r.reward == 0);
    assert_int_equal(r.flags, GRADE_PYTHON_SERVER_ERROR);
    assert_true(r.details[0] != '\0');
    grader_close(g);
}

struct caller {
    pthread_t thread;
    struct grader *grader;
    int number, n_wrong;
};

static void *call_often(void *arg)
{
    struct caller *c = arg;
    char item[32], text[32];

    snprintf(item, sizeof item, "{'n':%d}", c->number);
    for (int i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "%d", i);
        const struct grade_result r = grade_text(c->grader, item, text);
        c->n_wrong += r.flags != 0 || r.reward != c->number * 1000 + i;
    }
    return NULL;
}

static void many_threads_share_few_workers(void **state)
{
    (void)state;
    struct grade_options opt = no_cache();
    struct caller callers[6] = {0};

    opt.n_workers = 2;
    struct grader *g = grader_of(
        python_spec(
            "def grade(sample, item):\n    return item['n'] * 1000 + int(sample['output_text'])"),
        &opt);
    for (int i = 0; i < 6; i++) {
        callers[i] = (struct caller){.grader = g, .number = i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].n_wrong, 0);
    }
    grader_close(g);
}

/* ---- sources that are refused ---- */

static void a_source_is_checked_when_it_is_opened(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"def grade(sample, item)\n    return 1", "SyntaxError: expected ':' (line 1)"},
        {"def grade(sample, item):\nreturn 1", "IndentationError"},
        {"x = 1", "defines no grade(sample, item)"},
        {"", "defines no grade(sample, item)"},
        {"grade = 3", "grade is not a function"},
        {"def grade(sample):\n    return 1", "takes 1 arguments; it is called with two"},
        {"def grade():\n    return 1", "takes 0 arguments"},
        {"def grade(a, b, c):\n    return 1", "takes 3 arguments"},
        {"def grade(a, b, *, c):\n    return 1", "called with two"},
        {"async def grade(a, b):\n    return 1", "is a coroutine or a generator"},
        {"def grade(a, b):\n    yield 1", "is a coroutine or a generator"},
        {"class C:\n    def __call__(self, x): return 1\ngrade = C()",
         "cannot be called with (sample, item)"},
        {"import no_such_module\ndef grade(a, b):\n    return 1",
         "No module named 'no_such_module'"},
        {"x = 1\ny = x / 0\ndef grade(a, b):\n    return 1", "line 2"},
        {"raise SystemExit(3)", "SystemExit: 3"},
        {"import os\nos._exit(0)", "ended the Python process"},
        {"import os\nos.closerange(0, 100)", "ended the Python process"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ASSERT_REFUSED(python_spec(rows[i][0]), ERR_INVALID, "source", rows[i][1]);
    ASSERT_REFUSED(json_of("{'type':'multi','calculate_output':'a','graders':{"
                           "'a':{'type':'python','source':'def grade(s, i): return 1'},"
                           "'b':{'type':'python','source':'def grade(s i): return 1'}}}"),
                   ERR_INVALID, "graders.b.source", "SyntaxError");
}

static void callables_with_two_arguments_are_accepted(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "def grade(sample, item, extra=None):\n    return 0.5",
        "def grade(*args):\n    return 0.5",
        "def grade(s, i, /):\n    return 0.5",
        "def grade(s, i, *, k=1):\n    return 0.5",
        "grade = lambda s, i: 0.5",
        "class C:\n    def __call__(self, s, i): return 0.5\ngrade = C()",
        "import functools\ngrade = functools.partial(lambda x, s, i: x, 0.5)",
    };

    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        struct grader *g = open_source(sources[i]);

        assert_true(grade_text(g, "{}", "").reward == 0.5);
        grader_close(g);
    }
}

static void a_source_that_is_too_long_is_refused(void **state)
{
    (void)state;
    char *source = malloc(300000);

    memset(source, '#', 299999);
    source[299999] = '\0';
    ASSERT_REFUSED(python_spec(source), ERR_LIMIT, "source",
                   "more than a grader's source may have");
    free(source);
}

static void a_link_to_a_python_shows_nothing_of_its_folder(void **state)
{
    (void)state;
    struct grade_options opt = one_worker(20);
    struct arena a = {0};
    char *dir = test_dir_make(&a);
    const char *bin = arena_printf(&a, "%s/bin", dir), *link = arena_printf(&a, "%s/python3", bin);

    assert_int_equal(mkdir(bin, 0755), 0);
    assert_int_equal(symlink("/usr/bin/python3", link), 0);
    opt.python = link;
    struct grader *g = grader_of(
        python_spec(arena_printf(&a,
                                 "import os, sys\n"
                                 "def grade(sample, item):\n"
                                 "    assert sys.executable.startswith('/usr/'), sys.executable\n"
                                 "    return float(not os.path.exists('%s'))\n",
                                 dir)),
        &opt);
    const struct grade_result r = grade_text(g, "{}", "");
    assert_string_equal(r.details, "");
    assert_true(r.reward == 1);
    grader_close(g);
    test_dir_remove(dir);
    arena_release(&a);
}

static void a_python_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct grade_options opt = grade_defaults();
    struct error err;
    struct grader *g = NULL;
    json_t *spec = python_spec("def grade(s, i): return 1");

    opt.python = "/nowhere/bin/python3";
    ASSERT_FAILS(grader_open(spec, &opt, &g, &err), ERR_NOT_FOUND, "/nowhere/bin/python3");
    json_decref(spec);
}

/* ---- the keys of a row ---- */

static void expect_keys(const char *source, const char *item, const char *missing)
{
    struct error err = {0};
    struct grader *g = open_source(source);
    json_t *row = json_of(item);

    if (missing == NULL)
        ASSERT_OK(grader_check_item(g, row, "line 3", &err));
    else
        ASSERT_FAILS(grader_check_item(g, row, "line 3", &err), ERR_INVALID, missing);
    json_decref(row);
    grader_close(g);
}

#define GRADE "def grade(sample, item):\n"
static void a_key_that_grade_reads_must_be_in_the_row(void **state)
{
    (void)state;
    expect_keys(GRADE "    return item['answer'] == 1", "{}",
                "line 3 has no item.answer, which the grader \"test\" reads");
    expect_keys(GRADE "    return item['answer'] == 1", "{'answer':null}", NULL);
    expect_keys("def grade(s, row):\n    return row[\"answer\"] == 1", "{}", "item.answer");
    expect_keys(GRADE "    w = sample['output_text'].split()\n"
                      "    return 1.0 if len(w) == 1 and w[0] == item['answer'] else 0.0",
                "{}", "item.answer");
    expect_keys(GRADE
                "    if not sample['output_text']:\n        return 0\n    return item['a']['b']",
                "{}", "item.a");
    expect_keys(
        GRADE
        "    try:\n        x = float(sample['output_text'])\n    except ValueError:\n        return 0\n"
        "    return x == float(item['a'])",
        "{}", "item.a");
    expect_keys(GRADE "    known = {g.upper() for g in item['candidates']}\n    return 1", "{}",
                "item.candidates");
    expect_keys(GRADE "    return sum(w in item['words'] for w in sample['output_text'])", "{}",
                "item.words");
}

static void a_key_that_grade_may_do_without_need_not(void **state)
{
    (void)state;
    expect_keys(GRADE "    return item.get('a', 0)", "{}", NULL);
    expect_keys(GRADE "    if 'a' in item:\n        return item['a']\n    return 0", "{}", NULL);
    expect_keys(GRADE "    return item['a'] if item.get('a') else 0", "{}", NULL);
    expect_keys(GRADE "    if item['kind'] == 'a':\n        return item['a']\n    return item['b']",
                "{'kind':'a','a':1}", NULL);
    expect_keys(
        GRADE
        "    kind = item['kind']\n    if kind == 'a':\n        return item['a']\n    return item['b']",
        "{'kind':'a','a':1}", NULL);
    expect_keys(GRADE "    return item['kind'] == 'a' and item['a']", "{'kind':'b'}", NULL);
    expect_keys(GRADE "    try:\n        return item['a']\n    except KeyError:\n        return 0",
                "{}", NULL);
    expect_keys("import contextlib\n" GRADE
                "    with contextlib.suppress(KeyError):\n        return item['a']\n    return 0",
                "{}", NULL);
    expect_keys(GRADE "    item['a'] = 1\n    return item['a']", "{}", NULL);
    expect_keys(GRADE "    item = {'a': 1}\n    return item['a']", "{}", NULL);
    expect_keys(GRADE "    for k in item['list']:\n        return item['b']\n    return 0",
                "{'list':[]}", NULL);
    expect_keys(GRADE "    f = lambda: item['a']\n    return 0", "{}", NULL);
    expect_keys("def other(item): return item['a']\n" GRADE "    return 0", "{}", NULL);
    expect_keys("def wrap(f): return lambda s, i: 1\n@wrap\n" GRADE "    return item['a']", "{}",
                NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reward_comes_back_to_the_last_bit),
        cmocka_unit_test(every_kind_of_number_is_a_reward),
        cmocka_unit_test(the_sample_has_the_fields_of_the_api),
        cmocka_unit_test(an_answer_that_is_not_utf8_still_is_graded),
        cmocka_unit_test(a_large_row_arrives_whole),
        cmocka_unit_test(helpers_imports_and_constants_are_made_once),
        cmocka_unit_test(the_same_answer_gets_the_same_reward),
        cmocka_unit_test(a_source_may_start_threads_and_processes_of_its_own),
        cmocka_unit_test(what_a_function_imports_is_there_before_it_is_called),
        cmocka_unit_test(threads_inside_a_grader_work),
        cmocka_unit_test(a_multi_of_python_graders_keeps_them_apart),
        cmocka_unit_test(an_exception_is_told_with_its_traceback),
        cmocka_unit_test(what_is_no_number_is_no_reward),
        cmocka_unit_test(leaving_the_process_is_an_error),
        cmocka_unit_test(a_recursion_without_end_is_an_error),
        cmocka_unit_test(memory_without_end_is_an_error),
        cmocka_unit_test(a_call_that_lasts_too_long_is_stopped),
        cmocka_unit_test(output_that_nobody_wants_goes_nowhere),
        cmocka_unit_test(nothing_written_to_any_descriptor_becomes_a_reward),
        cmocka_unit_test(closed_descriptors_and_handlers_do_not_reach_the_next_sample),
        cmocka_unit_test(a_thread_that_stays_does_not_hold_the_answer),
        cmocka_unit_test(what_a_call_prints_is_kept_apart_from_its_reward),
        cmocka_unit_test(what_was_printed_before_a_failure_is_kept),
        cmocka_unit_test(what_is_printed_is_text_whatever_it_was),
        cmocka_unit_test(long_output_is_cut_and_counted),
        cmocka_unit_test(output_without_end_is_stopped_with_the_call),
        cmocka_unit_test(what_one_call_does_to_its_output_does_not_reach_the_next),
        cmocka_unit_test(the_parts_of_a_multi_print_below_their_names),
        cmocka_unit_test(json_that_is_none_never_reaches_a_grader),
        cmocka_unit_test(an_answer_cannot_change_the_row_beside_it),
        cmocka_unit_test(deep_rows_and_huge_numbers_are_contained),
        cmocka_unit_test(a_worker_that_was_killed_is_replaced),
        cmocka_unit_test(a_worker_that_dies_twice_in_a_call_is_a_server_error),
        cmocka_unit_test(many_threads_share_few_workers),
        cmocka_unit_test(a_source_is_checked_when_it_is_opened),
        cmocka_unit_test(callables_with_two_arguments_are_accepted),
        cmocka_unit_test(a_source_that_is_too_long_is_refused),
        cmocka_unit_test(a_link_to_a_python_shows_nothing_of_its_folder),
        cmocka_unit_test(a_python_that_is_not_there_is_named),
        cmocka_unit_test(a_key_that_grade_reads_must_be_in_the_row),
        cmocka_unit_test(a_key_that_grade_may_do_without_need_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
